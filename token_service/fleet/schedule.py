"""The schedule: reserved slots, the queue, dispatches and failures, as redis holds them. Pure.

One hash for all replicas: a field for each room and each worker with something to remember. Times
are epoch seconds of redis' own clock. `scheduler.py` decides with it.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from protocol.records.stored import Stored

SCHEDULE_KEY = "moshi:schedule"
ROOM_FIELD = "room:"
WORKER_FIELD = "worker:"
KEPT_S = 600.0  # an entry that waits, or counts failures, after its last change
LONGEST_S = KEPT_S + 60.0  # of any entry; one that lasts longer is of a clock that was set back
ENTRIES_PARSED = 10_000  # of rooms; kept, as most entries are read again unchanged
DISPATCH_GRACE_S = 10.0  # a host comes within a second; a long prompt on a CPU takes longer
DISPATCH_GRACE_MAX_S = 30.0
DISPATCHES_REMEMBERED_S = 120.0
CALM_DISPATCHES = 2  # so many in a row are made at once; before each further one is a wait
FAILURES = 3
FAILURES_WITHIN_S = 60.0
OPEN_S = 30.0
OPEN_MAX_S = 300.0
OPENINGS_REMEMBERED_S = 600.0


class Reservation(Stored):
    """Slots of one worker that are kept for a room."""

    worker: str
    slots: int
    until_s: float


class Hold(Stored):
    """The share of its caller's reservations for which a room counts."""

    caller: str
    slots: int
    until_s: float


class RoomEntry(Stored):
    """A room's reservations, place in the queue and latest dispatches; by default there is none."""

    reserved: Reservation | None = None  # until the worker's heartbeat shows the room as hosted
    more: Reservation | None = None  # for personas that were added to a hosted room
    hold: Hold | None = None
    queued_s: float | None = None  # the room waits for slots; lower is served sooner
    needs: int = 0  # slots that it waits for
    dispatches: int = 0  # in a row
    dispatches_until_s: float = 0.0
    awaited: int = 0  # the generation that was dispatched last
    awaited_until_s: float = 0.0
    arrived: bool = False  # its host was seen
    waiting: str = ""  # the code of the reason that its events told last
    unlisted: bool = False  # LiveKit does not list its participants (rooms/forgotten.py)
    expires_s: float = 0.0


NOTHING = RoomEntry()


class WorkerEntry(Stored):
    """The failures of a worker; its breaker is open until `open_until_s`."""

    failures: int = 0
    failures_until_s: float = 0.0
    openings: int = 0
    openings_until_s: float = 0.0
    open_until_s: float = 0.0
    expires_s: float = 0.0


def grace_s(dispatches: int) -> float:
    """Return how long to wait for the host of the n-th dispatch in a row."""
    return min(DISPATCH_GRACE_S * 2.0 ** min(dispatches - 1, 10), DISPATCH_GRACE_MAX_S)


@lru_cache(maxsize=ENTRIES_PARSED)
def _room_entry(text: str) -> RoomEntry:
    return RoomEntry.model_validate_json(text)


class Schedule:
    """A draft of the schedule at one moment: `changes` returns the fields to write back."""

    def __init__(self, fields: Mapping[str, str] | None = None, now_s: float = 0.0) -> None:
        self.now_s = now_s
        self.rooms: dict[str, RoomEntry] = {}
        self.workers: dict[str, WorkerEntry] = {}
        self.reserving: set[str] = set()  # rooms with a reservation, over or not
        self._queued: set[str] = set()
        self._over: list[str] = []  # fields of entries whose time is over
        self._changed: dict[str, Stored] = {}  # by field
        for name, text in (fields or {}).items():
            if name.startswith(ROOM_FIELD):
                room = _room_entry(text)
                if self._lasts(room.expires_s) or room.unlisted:
                    self._keep(name.removeprefix(ROOM_FIELD), room)
                    continue
            elif name.startswith(WORKER_FIELD):
                worker = WorkerEntry.model_validate_json(text)
                if self._lasts(worker.expires_s):
                    self.workers[name.removeprefix(WORKER_FIELD)] = worker
                    continue
            else:
                continue
            self._over.append(name)
        self._fields = fields or {}

    def _lasts(self, expires_s: float) -> bool:
        return self.now_s < expires_s < self.now_s + LONGEST_S

    def _keep(self, room: str, entry: RoomEntry) -> None:
        self.rooms[room] = entry
        for rooms, has in (
            (self.reserving, entry.reserved is not None or entry.more is not None),
            (self._queued, entry.queued_s is not None),
        ):
            rooms.add(room) if has else rooms.discard(room)

    def snapshot(self) -> tuple[Any, ...]:
        """Return the draft as it is now, for `restore`."""
        draft = (self.rooms, self.workers, self.reserving, self._queued, self._changed)
        return tuple(each.copy() for each in draft)

    def restore(self, draft: tuple[Any, ...]) -> None:
        self.rooms, self.workers, self.reserving, self._queued, self._changed = draft

    def changes(self) -> tuple[dict[str, str], list[str]]:
        """Return the fields to set, and the names of those to delete."""
        texts = {
            name: entry.model_dump_json(exclude_defaults=True)
            for name, entry in self._changed.items()
        }
        changed = {name: text for name, text in texts.items() if self._fields.get(name) != text}
        return changed, [name for name in self._over if name not in texts]

    def room(self, room: str) -> RoomEntry:
        """Return a room's entry; an empty one where nothing is remembered."""
        return self.rooms.get(room, NOTHING)

    def update(self, room: str, **fields: Any) -> None:
        old = self.room(room)
        new = old.model_copy(update=fields)
        if new == old:
            return
        new = new.model_copy(update={"expires_s": self._life_of(new)})
        self._keep(room, new)
        self._changed[ROOM_FIELD + room] = new

    def _life_of(self, entry: RoomEntry) -> float:
        """Return when an entry says nothing any more: every decision reads all entries."""
        kept = (entry.reserved, entry.more, entry.hold)
        until_s = [each.until_s for each in kept if each is not None]
        until_s += [entry.dispatches_until_s, entry.awaited_until_s]
        if entry.queued_s is not None or entry.waiting:
            until_s.append(self.now_s + KEPT_S)
        return max(until_s)

    def is_reserved(self, room: str) -> bool:
        reserved = self.room(room).reserved
        return reserved is not None and reserved.until_s > self.now_s

    def release(self, room: str) -> None:
        """Reserve nothing for a room any more, and take it out of the queue."""
        self.update(room, reserved=None, queued_s=None, needs=0)

    def settle(self, room: str, generation: int) -> None:
        """Note that a room's host is there: from now on the heartbeat counts its slots.

        A host that is lost later is replaced at once, unless it was dispatched often in a row.
        """
        entry = self.room(room)
        if room not in self.rooms or entry.awaited > generation:  # a newer host replaces this one
            return
        is_calm = self.dispatches(room) <= CALM_DISPATCHES
        self.update(
            room,
            reserved=None,
            hold=None,
            arrived=bool(entry.awaited),
            awaited_until_s=0.0 if is_calm else entry.awaited_until_s,
        )

    @property
    def queue(self) -> list[str]:
        """The rooms that wait for slots, in the order in which they are served."""
        return sorted(self._queued, key=lambda room: (self.rooms[room].queued_s or 0.0, room))

    def enqueue(self, room: str, slots: int, since_s: float) -> None:
        """Put a room into the queue, behind those that came before `since_s`."""
        queued_s = self.room(room).queued_s
        self.update(room, queued_s=since_s if queued_s is None else queued_s, needs=slots)

    def leave_queue(self, room: str) -> None:
        self.update(room, queued_s=None, needs=0)

    def position(self, room: str, since_s: float) -> int:
        """Return a room's position in the queue, or the one it would have since `since_s`."""
        queue = self.queue
        if room in queue:
            return queue.index(room) + 1
        return sum((self.rooms[each].queued_s or 0.0) <= since_s for each in queue) + 1

    def dispatches(self, room: str) -> int:
        """Return how many dispatches a room had in a row."""
        entry = self.room(room)
        return entry.dispatches if entry.dispatches_until_s > self.now_s else 0

    def has_lasted(self, room: str) -> bool:
        """Return whether a room's last dispatch is so long ago that its host has served people."""
        dispatched_s = self.room(room).dispatches_until_s - DISPATCHES_REMEMBERED_S
        return self.now_s > dispatched_s + DISPATCH_GRACE_S

    def dispatch(self, room: str, generation: int) -> None:
        """Count a dispatch, and wait for its host from now on."""
        count = self.dispatches(room) + 1
        self.update(
            room,
            dispatches=count,
            dispatches_until_s=self.now_s + DISPATCHES_REMEMBERED_S,
            awaited=generation,
            awaited_until_s=self.now_s + grace_s(count),
            arrived=False,
            waiting="",
        )

    def await_standby(self, room: str, generation: int) -> None:
        """Wait from now on for a host that is to stand by."""
        self.update(
            room,
            awaited=generation,
            awaited_until_s=self.now_s + DISPATCH_GRACE_MAX_S,
            arrived=False,
        )

    def give_up(self, room: str) -> None:
        """Expect no host of the last dispatch any more, and reserve nothing for it."""
        self.update(room, awaited=0, awaited_until_s=0.0)
        self.release(room)

    def is_awaited(self, room: str, generation: int) -> bool:
        """Return whether this generation was dispatched so lately that its host may still come."""
        entry = self.room(room)
        return entry.awaited == generation and entry.awaited_until_s > self.now_s

    def has_arrived(self, room: str, generation: int) -> bool:
        """Return whether the host of this generation came, or was dispatched long ago."""
        entry = self.room(room)
        return entry.arrived or entry.awaited != generation

    def is_open(self, worker: str) -> bool:
        """Return whether a worker's breaker is open: it gets no dispatch."""
        entry = self.workers.get(worker)
        return entry is not None and entry.open_until_s > self.now_s

    def count_failure(self, worker: str) -> float:
        """Count a dispatch that brought no host, or one that failed; return for how long it opens.

        Three failures with less than a minute between them open the breaker for half a minute,
        twice as long each time it opens again within ten minutes. While it is open no failure is
        counted; afterwards one more opens it again.
        """
        entry, now_s = self.workers.get(worker, WorkerEntry()), self.now_s
        if self.is_open(worker):
            return 0.0
        failures = (entry.failures if entry.failures_until_s > now_s else 0) + 1
        openings = entry.openings if entry.openings_until_s > now_s else 0
        if failures < FAILURES:
            fields = {"failures": failures, "failures_until_s": now_s + FAILURES_WITHIN_S}
            open_s = 0.0
        else:
            open_s = min(OPEN_S * 2 ** min(openings, 10), OPEN_MAX_S)
            fields = {
                "failures": FAILURES - 1,
                "failures_until_s": now_s + open_s + FAILURES_WITHIN_S,
                "openings": openings + 1,
                "openings_until_s": now_s + OPENINGS_REMEMBERED_S,
                "open_until_s": now_s + open_s,
            }
        fields["expires_s"] = now_s + KEPT_S
        new = self.workers[worker] = entry.model_copy(update=fields)
        self._changed[WORKER_FIELD + worker] = new
        return open_s
