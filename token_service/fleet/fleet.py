"""The fleet: all live workers by their heartbeats, and the reservations of their slots. Pure.

A worker whose heartbeat is gone does not exist here.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from protocol.errors import InvalidInput
from protocol.heartbeat import Heartbeat, Outcome
from protocol.personas import Catalogue, Persona
from protocol.room_spec import RoomSpec
from token_service.fleet.schedule import CALM_DISPATCHES, Reservation, Schedule
from token_service.refusals import Unavailable, full, too_slow

Became = Outcome | Literal["lost"]  # lost: the host's process ended, and its worker goes on
NO_CHOICE = frozenset({"default"})  # the voices of a model that has no voices to choose


@dataclass(frozen=True)
class Fleet:
    """Every live worker at one moment, with the schedule of that moment."""

    workers: tuple[Heartbeat, ...] = ()
    schedule: Schedule = field(default_factory=Schedule)

    @property
    def ready(self) -> tuple[Heartbeat, ...]:
        return tuple(worker for worker in self.workers if worker.state == "ready")

    @property
    def takers(self) -> tuple[Heartbeat, ...]:
        """The ready workers whose breaker is closed: they get dispatches."""
        return tuple(each for each in self.ready if not self.schedule.is_open(each.worker_id))

    @property
    def slots_free(self) -> int:
        """Slots of all takers that are neither used nor reserved."""
        return sum(self.free_by_worker().values())

    def free_by_worker(self, room: str = "") -> dict[str, int]:
        """Return each taker's slots that a room could have, those reserved for it included."""
        reserved = self.reserved(but_for=room)
        return {
            each.worker_id: max(each.slots_free - reserved[each.worker_id], 0)
            for each in self.takers
        }

    def reserved(self, but_for: str = "") -> Counter[str]:
        """Return the slots that are reserved on each worker and that no heartbeat counts."""
        found = Counter[str]()
        for room in self.schedule.reserving:
            own = self.reservation(room) if room != but_for else None
            for each in (own, self.schedule.rooms[room].more):
                if each is not None and each.until_s > self.schedule.now_s:
                    found[each.worker] += each.slots
        return found

    def drop_reservations(self) -> None:
        """Delete the reservations whose time is over or whose room is hosted."""
        for room in list(self.schedule.reserving):
            if self.schedule.rooms[room].reserved is not None and self.reservation(room) is None:
                self.schedule.update(room, reserved=None)

    def reservation(self, room: str) -> Reservation | None:
        """Return a room's reservation, unless its time is over or its worker hosts the room.

        A host that stands by uses its slots, too: its heartbeat counts them already.
        """
        entry = self.schedule.room(room)
        reserved = entry.reserved
        if reserved is None or not self.schedule.is_reserved(room):
            return None
        worker = self.worker(reserved.worker)
        if worker is None:
            return reserved
        found = worker.outcomes.get(room)
        stands_by = found is not None and (found.outcome, found.generation) == (
            "standby",
            entry.awaited,
        )
        return None if room in worker.hosts or stands_by else reserved

    @property
    def slots_total(self) -> int:
        """Slots of all takers, used or not."""
        return sum(slots_of(worker) for worker in self.takers)

    @property
    def slots_used(self) -> int:
        return sum(worker.slots_used for worker in self.workers)

    @property
    def voices(self) -> tuple[str, ...]:
        """The voices to choose from; none where a ready worker has no choice of voices."""
        offers = [set(worker.voices) for worker in self.ready]
        if not offers or any(offer <= NO_CHOICE for offer in offers):
            return ()
        return tuple(sorted(set[str]().union(*offers)))

    @property
    def rooms(self) -> frozenset[str]:
        return frozenset(room for worker in self.workers for room in worker.hosts)

    def lines(self, voice: str) -> list[str] | None:
        """Return the only lines that can be said in a voice; None where a worker says any line."""
        by_voice = next((worker.lines for worker in self.ready if worker.lines is not None), None)
        if by_voice is None or any(worker.lines is None for worker in self.ready):
            return None
        return [*by_voice.get(voice, ()), *by_voice.get("*", ())]

    def hosts(self, spec: RoomSpec) -> bool:
        """Return whether a live worker hosts the spec's room in its current generation."""
        return self.host(spec) is not None

    def host(self, spec: RoomSpec) -> Heartbeat | None:
        """Return the live worker that hosts the spec's room in its current generation.

        Of a room that moves, the one that stood by as soon as it has taken over.
        """
        if spec.standby and self.standby(spec) == "hosted":
            return self.worker(spec.standby)
        return self._by_host.get((spec.room, spec.generation))

    @cached_property
    def _by_host(self) -> dict[tuple[str, int], Heartbeat]:
        """The workers by the rooms that they host, each with its generation."""
        return {host: worker for worker in self.workers for host in worker.hosts.items()}

    def standby(self, spec: RoomSpec) -> Became | None:
        """Return what became of the host that is to stand by; None: that is not known."""
        return self._became(spec.room, spec.standby, spec.dispatched)

    def may_stand_by(self, spec: RoomSpec) -> bool:
        """Return whether the next host stands by, or may still come."""
        standby = self.standby(spec)
        if standby is None and self.worker(spec.standby) is not None:
            return self.schedule.is_awaited(spec.room, spec.dispatched)
        return standby in ("standby", "hosted")

    def worker(self, worker_id: str) -> Heartbeat | None:
        return self._by_id.get(worker_id)

    @cached_property
    def _by_id(self) -> dict[str, Heartbeat]:
        return {worker.worker_id: worker for worker in self.workers}

    def outcome(self, spec: RoomSpec) -> Became | None:
        """Return what became of the spec's dispatch, by its worker; None: that is not known."""
        return self._became(spec.room, spec.worker, spec.generation)

    def _became(self, room: str, worker_id: str, generation: int) -> Became | None:
        worker = self.worker(worker_id)
        found = worker.outcomes.get(room) if worker is not None else None
        if found is None or found.generation != generation:
            return None
        return "lost" if found.lost else found.outcome

    def is_awaited(self, spec: RoomSpec) -> bool:
        """Return whether the host of the spec's dispatch may still come.

        It will not where its worker is gone or the dispatch is over. A room that this happens to
        often waits all the same, as the workers may die of this room, unless its host served people
        for a while and left. A host of a later generation is there where redis came back with older
        data; it is about to restore the spec.
        """
        found = (worker.outcomes.get(spec.room) for worker in self.workers)
        hosting = (each for each in found if each is not None and each.outcome == "hosted")
        if any(each.generation > spec.newest for each in hosting):
            return True
        if spec.standby and self.may_stand_by(spec):
            return True
        is_calm = self.schedule.dispatches(spec.room) <= CALM_DISPATCHES
        has_served = self.outcome(spec) == "left" and self.schedule.has_lasted(spec.room)
        if has_served or (is_calm and self.done(spec)):
            return False
        return self.schedule.is_awaited(spec.room, spec.generation)

    def done(self, spec: RoomSpec) -> bool:
        """Return whether no host will come of this dispatch: its worker is gone, or it is over."""
        gone = bool(spec.worker) and self.worker(spec.worker) is None
        return gone or self.outcome(spec) in ("refused", "failed", "left", "lost")

    def obstacle(self, personas: int) -> Unavailable | None:
        """Return why no worker can host a room of so many personas now; None where one can."""
        if not self.ready:
            return self._none_ready()
        if not self.takers:
            return Unavailable("worker_failing", "Conversations fail to start. Try again soon.", 30)
        if max(self.free_by_worker().values()) >= personas:
            return None
        most = max(slots_of(worker) for worker in self.takers)
        if personas > most:
            return Unavailable(
                "too_many_personas",
                f"{personas} personas were asked for; a worker here has room for {most}.",
                60,
            )
        slow = any(
            each.too_slow and slots_of(each) >= each.slots_used + personas for each in self.takers
        )
        return too_slow() if slow else full()

    def _none_ready(self) -> Unavailable:
        states = {worker.state: worker for worker in self.workers}
        if loading := states.get("loading_model") or states.get("starting"):
            progress = f" ({loading.reason})" if loading.reason else ""
            is_loading = loading.state == "loading_model"
            what = "The model is still loading" if is_loading else "The worker starts"
            return Unavailable("loading_model", f"{what}{progress}.", 5)
        if connecting := states.get("connecting"):
            sentence = f"{connecting.reason[:1].upper()}{connecting.reason[1:]}."
            return Unavailable("connecting", sentence, 5)
        if "draining" in states:
            return Unavailable("draining", "The worker is about to restart.", 10)
        if "error" in states:
            return Unavailable("worker_failed", f"The worker failed: {states['error'].reason}", 30)
        return Unavailable("no_worker", "No worker is running.", 10)

    def check_voices(self, personas: Iterable[Persona], catalogue: Catalogue) -> None:
        """Raise `InvalidInput` for a voice that the client named and no worker has.

        The catalogue's own voices pass: a worker replaces those that it lacks by its default.
        """
        for persona in personas:
            known = catalogue.get(persona.name)
            usual = {"default", known.voice} if known else NO_CHOICE
            if self.voices and persona.voice not in usual and persona.voice not in self.voices:
                unknown = f"{persona.name}: voice={persona.voice!r} is unknown"
                raise InvalidInput(f"{unknown}; choices: {', '.join(self.voices)}")


def slots_of(worker: Heartbeat) -> int:
    """Return how many slots a worker has, used or not."""
    return max(worker.slots_total, worker.slots_free + worker.slots_used)
