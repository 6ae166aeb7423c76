"""The reconciler: compares rooms with their specs, on webhooks and on a poll each second.

A room with a spec, people and no live host gets exactly one dispatch, with the next generation
number, as soon as a worker has the slots for it; until then it waits in the queue and its events
say why. A lost host's participants are removed at once. Runs on the event loop of the app. Several
replicas may run it: a dispatch is made by the replica that wrote its generation.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from livekit import api
from redis.exceptions import RedisError

from protocol.config import tracing
from protocol.errors import InvalidInput
from protocol.events import AFTER_ENDED_S, DispatchedEvent
from protocol.records.parsed import Parsed
from protocol.room_spec import RoomSpec, read_spec
from token_service import metrics
from token_service.fleet.fleet import Fleet
from token_service.fleet.prompt_limits import PromptLimits
from token_service.fleet.pulse import Pulse
from token_service.fleet.reader import FleetReader
from token_service.fleet.scheduler import Decision, decide
from token_service.refusals import LiveKitAway, SpecUnreadable, Unavailable
from token_service.rooms.dispatch_import import DispatchImport
from token_service.rooms.events import EventStore
from token_service.rooms.forgotten import Forgotten
from token_service.rooms.issued_tokens import REMEMBERED_S, IssuedTokens
from token_service.rooms.livekit import LiveKitRooms, generation_of, is_present
from token_service.rooms.moves import Moves
from token_service.rooms.renewals import Renewals
from token_service.rooms.store import SpecStore

log = structlog.stdlib.get_logger(__name__)

POLL_PERIOD_S = 1.0


@dataclass(slots=True)
class Reconciler:
    specs: SpecStore
    workers: FleetReader
    rooms: LiveKitRooms
    events: EventStore
    tokens: IssuedTokens
    dispatch_import: DispatchImport
    forgotten: Forgotten
    prompts: PromptLimits
    moves: Moves
    pulse: Pulse
    troubles: dict[str, str] = field(default_factory=dict[str, str])  # by room, the last logged
    parsed: Parsed[RoomSpec] = field(default_factory=lambda: Parsed(read_spec))
    kept_tokens: Renewals = field(default_factory=lambda: Renewals(REMEMBERED_S))
    kept_specs: Renewals = field(init=False)

    def __post_init__(self) -> None:
        self.kept_specs = Renewals(self.specs.ttl_s)

    async def run(self, stopping: asyncio.Event) -> None:
        """Sweep each second until `stopping` is set, also while redis or LiveKit are away.

        Not stopped by cancellation: that could cut a dispatch in half, and redis-py 8.1.0 swallows
        one that comes while it connects.
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
            except Exception:
                log.exception("sweep_failed")
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), POLL_PERIOD_S)

    async def sweep(self) -> None:
        """Reconcile every room that exists and has a spec."""
        names = await self.rooms.names()
        restoring = await self.specs.is_restoring()
        fleet = await self.workers.fleet()
        forgotten = await self.forgotten.look(fleet.rooms - set(names), fleet)
        rooms = {*names, *forgotten}
        self.troubles = {room: told for room, told in self.troubles.items() if room in rooms}
        specs = await self.specs.of(rooms, self.parsed)
        for room in await self.tokens.with_revoked(spec.room for spec in specs):
            await self._try(room, self.tokens.remove_revoked)
        hosted = [spec for spec in specs if fleet.hosts(spec)]
        await self._keep(specs, hosted, restoring=restoring)
        waiting = {spec.room for spec in specs} - {spec.room for spec in hosted}
        await self._settle(hosted, waiting, fleet)
        queue = {room: place for place, room in enumerate(fleet.schedule.queue)}
        unhosted = [s for s in specs if s.ended or s.standby or not fleet.hosts(s)]
        for spec in sorted(unhosted, key=lambda each: queue.get(each.room, len(queue))):
            await self._try(spec.room, self.reconcile)
        await self.moves.drain(specs, fleet)
        if restoring:  # a room without a spec may be one whose host has not written it back yet
            return
        for room in await self.dispatch_import.found(set(names) - {p.room for p in specs}):
            await self._try(room, self.reconcile)

    async def _keep(self, all_: list[RoomSpec], hosted: list[RoomSpec], *, restoring: bool) -> None:
        """Renew the lives of what redis keeps of rooms, where that is due, and lost indices.

        Hosts write their specs back into a redis that lost its last writes, and no indices.
        """
        if restoring:
            self.kept_tokens.clear()
        now_s = time.monotonic()
        await self.tokens.keep(spec.room for spec in self.kept_tokens.due(all_, now_s))
        due = self.kept_specs.due(hosted, now_s)
        await self.specs.touch([*due, *await self.specs.unindexed(hosted)])

    async def _settle(self, hosted: list[RoomSpec], waiting: set[str], fleet: Fleet) -> None:
        """Release the reservations of hosted rooms, and take rooms out of the queue that are gone.

        Otherwise a room that is over soon would keep its reservation until its time is over.
        """

        def settle(now: Fleet) -> None:
            for spec in hosted:
                there = spec.dispatched if now.standby(spec) == "standby" else spec.generation
                now.schedule.settle(spec.room, there)
            for room in set(now.schedule.queue) - waiting:
                now.schedule.leave_queue(room)

        settle(fleet)
        if any(fleet.schedule.changes()):
            await self.specs.schedule(settle)

    async def _try(self, room: str, see_to: Callable[[str], Awaitable[object]]) -> None:
        """See to one room. Trouble with it does not block the others, and is logged once."""
        try:
            await see_to(room)
        except (LiveKitAway, SpecUnreadable) as trouble:
            reason, said = str(trouble), _said(trouble)
            if self.troubles.get(room) != reason:
                log.warning("room_not_seen_to", room=room, reason=reason, livekit=said)
            self.troubles[room] = reason
        else:
            self.troubles.pop(room, None)

    async def reconcile(self, room: str) -> None:
        """Apply the rule to one room. Raises `RedisError`, `LiveKitAway`, `SpecUnreadable`."""
        spec = await self.specs.read(room)
        if spec is None and not await self.specs.is_restoring():
            spec = await self.dispatch_import.import_dispatch(room)
        if spec is None:
            return
        fleet = await self.workers.fleet()
        if spec.ended:
            return await self._clear_ended(spec, fleet)
        if spec.standby:
            spec = await self.moves.follow(spec, may_be_lost=await self._trusts_heartbeats())
            fleet = await self.workers.fleet()
        if fleet.hosts(spec):
            return
        inside = await self.rooms.participants(room)
        if not await self._is_occupied(spec, inside, fleet):
            return await self._rest(spec, fleet)
        await self.specs.touch([spec])
        if fleet.is_awaited(spec) or not await self._trusts_heartbeats():
            return
        if any(generation_of(one) <= spec.newest for one in inside):
            await self.rooms.clear(_next_generation(spec))
        await self._place(spec)

    async def _trusts_heartbeats(self) -> bool:
        """Return whether a missing heartbeat means a lost worker."""
        return await self.pulse.is_steady() and not await self.specs.is_restoring()

    async def _rest(self, spec: RoomSpec, fleet: Fleet) -> None:
        """Take an empty room out of the queue, and forget the worker whose host has left it.

        Otherwise that host would count as lost, should people come back.
        """
        if spec.room in fleet.schedule.queue:
            await self.specs.schedule(lambda now: now.schedule.leave_queue(spec.room))
        if fleet.outcome(spec) == "left":
            rested = spec.model_copy(update={"worker": ""})
            await self.specs.commit(
                spec.room, lambda now, _: (rested if now == spec else now, None)
            )

    async def _is_occupied(
        self, spec: RoomSpec, inside: list[api.ParticipantInfo], fleet: Fleet
    ) -> bool:
        """Return whether a person is there; where LiveKit lists none, until a host has left."""
        if any(is_present(one) for one in inside):
            return True
        is_unlisted = fleet.schedule.room(spec.room).unlisted
        if is_unlisted and fleet.outcome(spec) == "left":
            await self.forgotten.over(spec.room)
            return False
        return is_unlisted

    async def _place(self, spec: RoomSpec) -> None:
        """Dispatch where a worker has the slots, else let the room wait in the queue."""
        try:
            await self.prompts.check(spec.personas, await self.workers.fleet())
            obstacle = None
        except InvalidInput as error:  # no worker was there to ask when the spec was written
            obstacle = Unavailable("prompt_too_long", str(error), 60)

        def place(now: RoomSpec | None, fleet: Fleet) -> tuple[RoomSpec | None, Decision | None]:
            if now != spec or fleet.hosts(spec) or fleet.is_awaited(spec):
                return now, None  # another replica was quicker
            decided = decide(spec, fleet, obstacle)
            return decided.spec, decided

        decided = await self.specs.commit(spec.room, place)
        if decided is None:
            return
        _log_lost_host(spec, decided)
        if decided.is_dispatch:
            new = decided.spec
            session, generation = new.session, new.generation
            with tracing.span("dispatch", new.trace, session=session, generation=generation):
                await self._dispatch(new)
        elif decided.waits is not None and not decided.is_told:
            await self.events.waits(spec.room, decided.waits)

    async def _dispatch(self, spec: RoomSpec) -> None:
        try:
            await self.rooms.clear(spec)
            await self.rooms.dispatch(spec)
        except Unavailable:  # LiveKit failed, and not the worker
            await self.specs.commit(
                spec.room, lambda now, fleet: (_given_up(now, spec, fleet), None)
            )
            raise
        metrics.DISPATCHES.labels("again" if spec.generation > 1 else "first").inc()
        personas, generation = len(spec.personas), spec.generation
        log.info(
            "room_dispatched",
            room=spec.room,
            generation=generation,
            personas=personas,
            worker=spec.worker,
        )
        event = DispatchedEvent(at_s=time.time(), generation=generation, personas=personas)
        await self.events.add(spec.room, event)

    async def _clear_ended(self, spec: RoomSpec, fleet: Fleet) -> None:
        """Remove an ended room's people at once, and close it when its host has left."""
        inside = await self.rooms.participants(spec.room)
        gone = [
            await self.rooms.remove_person(each, spec.room) for each in inside if is_present(each)
        ]
        if not all(gone):
            return
        hosted = fleet.hosts(spec) or any(generation_of(one) < float("inf") for one in inside)
        if hosted and time.time() <= spec.ended_s + AFTER_ENDED_S:
            return
        if not fleet.schedule.room(spec.room).unlisted:
            await self.rooms.close(spec.room)
        elif await self.rooms.close_forgotten(spec.room):
            await self.forgotten.over(spec.room)


def _next_generation(spec: RoomSpec) -> RoomSpec:
    return spec.model_copy(update={"generation": spec.newest + 1})


def _given_up(now: RoomSpec | None, spec: RoomSpec, fleet: Fleet) -> RoomSpec | None:
    """Return the spec without its worker, where its dispatch could not be made."""
    if now != spec:
        return now
    fleet.schedule.give_up(spec.room)
    return spec.model_copy(update={"worker": ""})


def _log_lost_host(spec: RoomSpec, decided: Decision) -> None:
    if decided.last is not None:
        event = {"refused": "host_refused", "left": "host_left"}.get(decided.last, "host_lost")
        if event != "host_refused":
            metrics.LOST_HOSTS.inc()
        log.warning(event, room=spec.room, generation=spec.generation)
    if decided.breaker_open_s:
        metrics.BREAKERS.inc()
        log.warning("worker_breaker_opened", worker=spec.worker, seconds=decided.breaker_open_s)


def _said(error: Exception) -> str:
    """Return LiveKit's own words about an error, or nothing."""
    return error.said if isinstance(error, LiveKitAway) else ""
