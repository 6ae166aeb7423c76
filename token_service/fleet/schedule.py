"""The schedule: reserved slots, the queue, dispatches and failures, as redis holds them. Pure.

One hash for all replicas: a field for each room and each worker with something to remember. Times
are epoch seconds of redis' own clock. `scheduler.py` decides with it.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

SCHEDULE_KEY = "moshi:schedule"
ROOM_FIELD = "room:"
WORKER_FIELD = "worker:"
KEPT_S = 600.0  # an entry after its last change; longer than all that is counted in it
DISPATCH_GRACE_S = 10.0  # a host comes within a second; a long prompt on a CPU takes longer
DISPATCH_GRACE_MAX_S = 30.0
DISPATCHES_REMEMBERED_S = 120.0
CALM_DISPATCHES = 2  # so many in a row are made at once; before each further one is a wait
FAILURES = 3
FAILURES_WITHIN_S = 60.0
OPEN_S = 30.0
OPEN_MAX_S = 300.0
OPENINGS_REMEMBERED_S = 600.0


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Reservation(_Entry):
    """Slots of one worker that are kept for a room."""

    worker: str
    slots: int
    until_s: float


class Hold(_Entry):
    """The share of its caller's reservations for which a room counts."""

    caller: str
    slots: int
    until_s: float


class RoomEntry(_Entry):
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


class WorkerEntry(_Entry):
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


class Schedule:
    """A draft of the schedule at one moment: `changes` is what must be written back."""

    def __init__(self, fields: Mapping[str, str] | None = None, now_s: float = 0.0) -> None:
        self.now_s = now_s
        self._written = {
            name: text
            for name, text in (fields or {}).items()
            if name.startswith((ROOM_FIELD, WORKER_FIELD))
        }
        self.rooms: dict[str, RoomEntry] = {}
        self.workers: dict[str, WorkerEntry] = {}
        for name, text in self._written.items():
            if name.startswith(ROOM_FIELD):
                room = RoomEntry.model_validate_json(text)
                if room.expires_s > now_s or room.unlisted:
                    self.rooms[name.removeprefix(ROOM_FIELD)] = room
            else:
                worker = WorkerEntry.model_validate_json(text)
                if worker.expires_s > now_s:
                    self.workers[name.removeprefix(WORKER_FIELD)] = worker

    def changes(self) -> tuple[dict[str, str], list[str]]:
        """Return the fields to set, and the names of those to delete."""
        fields = {
            prefix + name: entry.model_dump_json(exclude_defaults=True)
            for prefix, entries in ((ROOM_FIELD, self.rooms), (WORKER_FIELD, self.workers))
            for name, entry in entries.items()
        }
        changed = {name: text for name, text in fields.items() if self._written.get(name) != text}
        return changed, [name for name in self._written if name not in fields]

    def room(self, room: str) -> RoomEntry:
        """Return a room's entry; an empty one where nothing is remembered."""
        return self.rooms.get(room, RoomEntry())

    def update(self, room: str, **fields: Any) -> None:
        old = self.room(room)
        new = old.model_copy(update=fields)
        if new == old:
            return
        kept = (new.reserved, new.more, new.hold)
        until_s = [each.until_s for each in kept if each is not None]
        expires_s = max([self.now_s + KEPT_S, *until_s])
        self.rooms[room] = new.model_copy(update={"expires_s": expires_s})

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
        if entry.awaited > generation:  # this host is replaced already
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
        queued = [
            (entry.queued_s, room)
            for room, entry in self.rooms.items()
            if entry.queued_s is not None
        ]
        return [room for _, room in sorted(queued)]

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
        came_s = [entry.queued_s for entry in self.rooms.values() if entry.queued_s is not None]
        return sum(each <= since_s for each in came_s) + 1

    def dispatches(self, room: str) -> int:
        """Return how many dispatches a room had in a row."""
        entry = self.room(room)
        return entry.dispatches if entry.dispatches_until_s > self.now_s else 0

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
        self.workers[worker] = entry.model_copy(update=fields)
        return open_s
