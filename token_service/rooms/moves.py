"""Moves rooms to other workers: a host stands by there, and takes over at a pause.

The room's host goes on until then. It sees in the room that the other one is ready
(`worker/room/handover.py`); a move that fails changes nothing for the room.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from http import HTTPStatus

import structlog

from protocol.heartbeat import Heartbeat
from protocol.room_spec import RoomSpec
from token_service import metrics
from token_service.fleet.fleet import Fleet
from token_service.fleet.reader import FleetReader
from token_service.fleet.schedule import DISPATCH_GRACE_MAX_S
from token_service.fleet.scheduler import reserve
from token_service.refusals import Refused, Unavailable, not_live
from token_service.rooms.livekit import LiveKitRooms
from token_service.rooms.store import SpecStore

log = structlog.stdlib.get_logger(__name__)

MOVES_AT_ONCE = 4  # of one worker that drains: each reads its personas' memories
STANDS_BY_MOST_S = 60.0  # a host waits 11 s at most for a pause


@dataclass(frozen=True, slots=True)
class Moves:
    """Begins moves and follows them. Calls raise `RedisError` and `LiveKitAway`."""

    specs: SpecStore
    workers: FleetReader
    rooms: LiveKitRooms
    # Since when the next host stands by, by room and its generation. Monotonic.
    stand_by_s: dict[tuple[str, int], float] = field(default_factory=dict[tuple[str, int], float])

    async def begin(self, room: str) -> RoomSpec:
        """Let a host stand by on another worker, and return the room's spec.

        Raises `Refused` where the room has no host or moves already, `Unavailable` where no other
        worker of the same model has the slots.
        """
        spec = await self.specs.commit(room, _begun)
        try:
            await self.rooms.dispatch(spec)
        except Unavailable:  # LiveKit failed, and not the worker
            await self._give_up(spec, was_dispatched=False)
            raise
        metrics.DISPATCHES.labels("move").inc()
        log.info("room_moves", room=room, generation=spec.dispatched, worker=spec.standby)
        return spec

    async def follow(self, spec: RoomSpec, *, may_be_lost: bool) -> RoomSpec:
        """Return a moving room's spec after what became of the host that is to stand by.

        Where the room's host is lost, its participants are removed: the other one takes over.
        `may_be_lost`: a missing heartbeat means a lost host.
        """
        fleet = await self.workers.fleet()
        if fleet.standby(spec) == "hosted":
            before = fleet.worker(spec.worker)
            is_leaving = before is not None and before.hosts.get(spec.room) == spec.generation
            return await self._finish(spec, is_leaving=is_leaving)
        is_gone = fleet.worker(spec.standby) is None
        if not fleet.may_stand_by(spec) and (may_be_lost or not is_gone):
            return await self._give_up(spec)
        if fleet.hosts(spec) and self._stands_by_too_long(spec, fleet):
            return await self._give_up(spec)
        if fleet.standby(spec) == "standby" and not fleet.hosts(spec) and may_be_lost:
            await self.rooms.clear(spec.moved())
        return spec

    def _stands_by_too_long(self, spec: RoomSpec, fleet: Fleet) -> bool:
        """Return whether the next host has stood by for a minute, and this one has not stopped."""
        if fleet.standby(spec) != "standby":
            return False
        now_s, move = time.monotonic(), (spec.room, spec.dispatched)
        return now_s - self.stand_by_s.setdefault(move, now_s) > STANDS_BY_MOST_S

    async def drain(self, specs: Iterable[RoomSpec], fleet: Fleet) -> None:
        """Begin to move the rooms of workers that drain, a few at a time."""
        specs = list(specs)
        moving = {(each.room, each.dispatched) for each in specs if each.standby}
        for over in self.stand_by_s.keys() - moving:
            del self.stand_by_s[over]
        for worker in fleet.workers:
            if worker.state == "draining":
                hosted = [each for each in specs if fleet.host(each) is worker and not each.ended]
                staying = [each for each in hosted if not each.standby]
                most = max(MOVES_AT_ONCE - len(hosted) + len(staying), 0)
                await self._begin_some(staying[:most])

    async def _begin_some(self, specs: list[RoomSpec]) -> None:
        for spec in specs:
            try:
                await self.begin(spec.room)
            except Refused as refused:  # it stays where it is until the worker ends
                log.debug("room_stays", room=spec.room, reason=str(refused))

    async def _finish(self, spec: RoomSpec, *, is_leaving: bool) -> RoomSpec:
        """Write that the next host has taken over, and remove what the one before has left.

        `is_leaving`: that one has stopped and not left yet.
        """

        def finish(now: RoomSpec | None, fleet: Fleet) -> tuple[RoomSpec | None, RoomSpec]:
            if now is None or not _is_same_move(now, spec):
                return now, now or spec
            fleet.schedule.settle(spec.room, spec.dispatched)
            return now.moved(), now.moved()

        moved = await self.specs.commit(spec.room, finish)
        if not is_leaving:  # what a host leaves with must not be removed under its hands
            await self.rooms.clear(moved)
        log.info("room_moved", room=spec.room, generation=spec.dispatched, worker=spec.standby)
        return moved

    async def _give_up(self, spec: RoomSpec, *, was_dispatched: bool = True) -> RoomSpec:
        """Name no worker to stand by any more; one that failed after its dispatch is counted."""

        def give_up(now: RoomSpec | None, fleet: Fleet) -> tuple[RoomSpec | None, RoomSpec]:
            if now is None or not _is_same_move(now, spec):
                return now, now or spec
            fleet.schedule.give_up(spec.room)
            has_failed = was_dispatched and fleet.standby(spec) in (None, "failed")
            if has_failed and fleet.worker(spec.standby):
                fleet.schedule.count_failure(spec.standby)
            after = now.model_copy(update={"standby": ""})
            return after, after

        log.warning("move_given_up", room=spec.room, worker=spec.standby)
        return await self.specs.commit(spec.room, give_up)


def _begun(now: RoomSpec | None, fleet: Fleet) -> tuple[RoomSpec, RoomSpec]:
    host = fleet.host(now) if now is not None and not now.ended else None
    if now is None or host is None:
        raise not_live()
    if now.standby:
        raise Refused(HTTPStatus.CONFLICT, "moving", "The session moves already.")
    slots = len(now.personas)
    others = _next_hosts(fleet, host, slots)
    obstacle = others.obstacle(slots)
    worker = None if obstacle else reserve(others, now.room, slots, DISPATCH_GRACE_MAX_S)
    if worker is None:
        is_there = obstacle is not None and bool(others.workers)
        reason = str(obstacle) if is_there else "There is none, or others wait for it."
        sentence = f"No other worker with this model can take the session now. {reason}"
        raise Unavailable("no_other_worker", sentence, 10)
    spec = now.moving_to(worker)
    fleet.schedule.await_standby(spec.room, spec.dispatched)
    return spec, spec


def _next_hosts(fleet: Fleet, host: Heartbeat, slots: int) -> Fleet:
    """Return the workers to which a host's room may move: those that can read its memory.

    From one that drains, where none of them has the slots, to any of its model: the personas forget
    there, and here the call would end.
    """
    others = tuple(each for each in fleet.workers if each is not host and each.model == host.model)
    readers = tuple(each for each in others if each.memory_format == host.memory_format)
    alike = replace(fleet, workers=readers)
    is_last_way = host.state == "draining" and alike.obstacle(slots) is not None
    return replace(fleet, workers=others) if is_last_way else alike


def _is_same_move(now: RoomSpec, spec: RoomSpec) -> bool:
    return (now.standby, now.dispatched) == (spec.standby, spec.dispatched)
