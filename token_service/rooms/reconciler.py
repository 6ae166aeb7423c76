"""The rule that gives rooms their hosts, and heals: run on webhooks and on a poll each second.

A promised room with people in it and no live host gets exactly one dispatch, with the next
generation number, as soon as a worker has the slots for it; until then it waits in the line and
its events say why. What a lost host left in the room is removed at once. Runs on the event loop
of the app. Several replicas may run it: a lock per room, and what was dispatched is in redis.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from livekit import api
from redis.asyncio.lock import Lock
from redis.exceptions import RedisError

from protocol.errors import InvalidInput
from protocol.events import DispatchedEvent
from protocol.heartbeat import HEARTBEAT_TTL_S
from protocol.room_spec import RoomSpec
from token_service import metrics
from token_service.errors import LiveKitAway, Unavailable, full
from token_service.fleet.breakers import Breakers
from token_service.fleet.prompt_limits import PromptLimits
from token_service.fleet.reader import Fleet, FleetReader
from token_service.fleet.reservations import FIRST, Reservations
from token_service.rooms.dispatch_import import DispatchImport
from token_service.rooms.events import EventStore
from token_service.rooms.forgotten import Forgotten
from token_service.rooms.issued_tokens import IssuedTokens
from token_service.rooms.livekit import LiveKitRooms, generation_of, is_present
from token_service.rooms.store import DISPATCH_GRACE_MAX_S, LockLost, SpecStore

log = structlog.stdlib.get_logger(__name__)

POLL_PERIOD_S = 1.0
JOINED_WAIT_S = 2.0  # a webhook waits for the room's lock; the poll comes again anyway
ENDED_GRACE_S = 5.0  # a host leaves an ended room by itself, which costs no thread of its own


@dataclass(slots=True)
class Reconciler:
    """Sees to it that every room that needs a host has one."""

    specs: SpecStore
    workers: FleetReader
    rooms: LiveKitRooms
    places: Reservations
    breakers: Breakers
    events: EventStore
    passes: IssuedTokens
    dispatch_import: DispatchImport
    forgotten: Forgotten
    prompts: PromptLimits
    trusts_from: float = 0.0  # monotonic; before it, a heartbeat that is missing says nothing
    troubles: dict[str, str] = field(default_factory=dict[str, str])  # room → the last one told

    async def run(self, stopping: asyncio.Event) -> None:
        """Sweep each second until told to stop; what is away is waited for.

        An event and no cancellation: a dispatch is not cut in half, and redis-py 8.1.0 swallows
        a cancellation that comes while it connects.
        """
        was_away = False
        while not stopping.is_set():
            try:
                await self.sweep()
                if was_away:
                    log.info("sweep_resumed")
                was_away = False
            except (RedisError, Unavailable) as error:
                if not was_away:
                    log.warning("sweep_waits", reason=str(error), livekit=_said(error))
                was_away = True
                self.trusts_from = time.monotonic() + HEARTBEAT_TTL_S
            except Exception:
                log.exception("sweep_failed")
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), POLL_PERIOD_S)

    async def sweep(self) -> None:
        """Apply the rule to every room that exists and was promised something."""
        names = await self.rooms.names()
        restoring = await self.specs.is_restoring()
        if restoring:
            self.trusts_from = time.monotonic() + POLL_PERIOD_S
        fleet = await self.workers.fleet()
        forgotten = await self.forgotten.look(fleet.rooms - set(names))
        rooms = {*names, *forgotten}
        self.troubles = {room: told for room, told in self.troubles.items() if room in rooms}
        specs = await self.specs.of(rooms)
        await self.passes.sweep(spec.room for spec in specs)
        hosted = [spec for spec in specs if fleet.hosts(spec)]
        await self.specs.touch(hosted)
        await self.specs.arrived(hosted)
        await self.places.settle(spec.room for spec in hosted)
        line = await self._line({spec.room for spec in specs} - {p.room for p in hosted})
        unhosted = [spec for spec in specs if spec.ended or not fleet.hosts(spec)]
        for spec in sorted(unhosted, key=lambda each: line.get(each.room, len(line))):
            await self._try(spec.room)
        if restoring:  # a room without a spec may be one whose host has not written it back yet
            return
        for room in await self.dispatch_import.found(set(names) - {p.room for p in specs}):
            await self._try(room)

    async def _line(self, waiting: set[str]) -> dict[str, int]:
        """Each waiting room's place in the line; who waits no more is taken out of it."""
        line = await self.places.line()
        for room in line:
            if room not in waiting:
                await self.places.leave_line(room)
        return {room: place for place, room in enumerate(line)}

    async def _try(self, room: str) -> None:
        """See to one room. Trouble with it keeps no other waiting, and is told once."""
        try:
            await self.see_to(room)
        except (LiveKitAway, LockLost) as away:
            reason, said = str(away), _said(away)
            if self.troubles.get(room) != reason:
                log.warning("room_not_seen_to", room=room, reason=reason, livekit=said)
            self.troubles[room] = reason
        else:
            self.troubles.pop(room, None)

    async def see_to(self, room: str, wait_s: float = 0.0) -> None:
        """Apply the rule to one room. Raises `RedisError`, `LiveKitAway`, `LockLost`."""
        async with self.specs.alone(room, wait_s) as lock:
            if lock is None:
                return
            spec = await self.specs.read(room)
            if spec is None and not await self.specs.is_restoring():
                spec = await self.dispatch_import.import_dispatch(room, lock)
            if spec is None:
                return
            fleet = await self.workers.fleet()
            if spec.ended:
                return await self._clear_ended(spec, fleet)
            if fleet.hosts(spec):
                return
            inside = await self.rooms.participants(room)
            if not await self._is_occupied(spec, inside, fleet):
                return await self.places.leave_line(room)
            await self.specs.touch([spec])
            if await self.awaited(spec, fleet) or time.monotonic() < self.trusts_from:
                return
            had_place = bool(spec.worker)
            spec = await self._handle_lost_host(spec, inside, fleet, lock)
            await self._place(spec, lock, FIRST if had_place else spec.opened_s)

    async def _is_occupied(
        self, spec: RoomSpec, inside: list[api.ParticipantInfo], fleet: Fleet
    ) -> bool:
        """Whether a person is there; where LiveKit has forgotten who is, until a host has left."""
        if any(is_present(one) for one in inside):
            return True
        if fleet.outcome(spec) == "left":
            await self.forgotten.over(spec.room)
        return await self.forgotten.has(spec.room)

    async def awaited(self, spec: RoomSpec, fleet: Fleet) -> bool:
        """Whether its host may still come. From a worker that is gone, or done with it, none will.

        A room that this happens to often waits all the same: it may be what its workers die of.
        """
        if fleet.done(spec) and await self.specs.dispatched_rarely([spec]):
            return False
        return await self.specs.awaited(spec)

    async def _handle_lost_host(
        self, spec: RoomSpec, inside: list[api.ParticipantInfo], fleet: Fleet, lock: Lock
    ) -> RoomSpec:
        """A dispatched generation has no host: nobody is to hear what it left, and it is counted.

        As a failure of its worker's where the host never came or ended with an error: one that
        leaves an empty room, or one that ended and was made anew, does right. Once only:
        afterwards the promise names no worker.
        """
        if any(generation_of(one) <= spec.generation for one in inside):
            await self.rooms.clear(later(spec))
        if not spec.worker:
            return spec
        outcome = fleet.outcome(spec)
        came = outcome == "left" or (outcome != "failed" and await self.specs.came(spec))
        if fleet.lives(spec.worker) and outcome != "refused" and not came:
            await self.breakers.failed(spec.worker)
        without_worker = await self._give_up(spec, lock)
        event = {"refused": "host_refused", "left": "host_left"}.get(outcome or "", "host_lost")
        log.warning(event, room=spec.room, generation=spec.generation)
        return without_worker

    async def _give_up(self, spec: RoomSpec, lock: Lock) -> RoomSpec:
        """Expect nothing more of the promise's worker, and hold nothing there."""
        await self.specs.await_no_more(spec)
        spec = await self.specs.change(spec, lock, worker="")
        await self.places.release(spec.room)
        return spec

    async def _place(self, spec: RoomSpec, lock: Lock, since_s: float) -> None:
        """Dispatch where a worker has the slots, else let the room wait in the line."""
        fleet = await self.workers.fleet()
        room, personas = spec.room, len(spec.personas)
        try:
            await self.prompts.check(spec.personas, fleet)
        except InvalidInput as error:  # no worker was there to ask when it was promised
            too_long = Unavailable("prompt_too_long", str(error), 60)
            return await self.events.waits(room, too_long)
        worker = await self.places.take(room, personas, DISPATCH_GRACE_MAX_S, fleet)
        if worker is not None:
            return await self._dispatch(spec, worker, lock)
        await self.places.wait(room, personas, since_s)
        await self.events.waits(room, fleet.obstacle(personas) or full())

    async def _dispatch(self, spec: RoomSpec, worker: str, lock: Lock) -> None:
        upcoming = await self.specs.next_generation(spec, worker, lock)
        try:
            await self.rooms.clear(upcoming)
            await self.rooms.dispatch(upcoming)
        except Unavailable:  # LiveKit's fault and not the worker's
            await self._give_up(upcoming, lock)
            raise
        metrics.DISPATCHES.labels("again" if spec.generation else "first").inc()
        personas = len(upcoming.personas)
        log.info(
            "room_dispatched",
            room=upcoming.room,
            generation=upcoming.generation,
            personas=personas,
            worker=worker,
        )
        event = DispatchedEvent(at_s=time.time(), generation=upcoming.generation, personas=personas)
        await self.events.add(upcoming.room, event)
        await self.events.waits_no_more(upcoming.room)

    async def _clear_ended(self, spec: RoomSpec, fleet: Fleet) -> None:
        """People go at once; the room when its host has left it, or should have."""
        inside = await self.rooms.participants(spec.room)
        for person in inside:
            if is_present(person):
                await self.rooms.remove(person.identity, spec.room)
        hosted = fleet.hosts(spec) or any(generation_of(one) < float("inf") for one in inside)
        if hosted and time.time() <= spec.ended_s + ENDED_GRACE_S:
            return
        if not await self.forgotten.has(spec.room):
            await self.rooms.close(spec.room)
        elif await self.rooms.close_forgotten(spec.room):
            await self.forgotten.over(spec.room)


def later(spec: RoomSpec) -> RoomSpec:
    """The generation after this one, which nobody has yet."""
    return spec.model_copy(update={"generation": spec.generation + 1})


def _said(error: Exception) -> str:
    """What LiveKit itself said of it: the log alone tells that."""
    return error.said if isinstance(error, LiveKitAway) else ""
