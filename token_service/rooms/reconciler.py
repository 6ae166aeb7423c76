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
from protocol.room_spec import Promise
from token_service import metrics
from token_service.errors import LiveKitAway, Unavailable, full
from token_service.fleet.forgotten import Forgotten
from token_service.fleet.prompt_limits import PromptLimits
from token_service.fleet.reader import Fleet, Workers
from token_service.fleet.reservations import FIRST, Places
from token_service.rooms.breakers import Breakers
from token_service.rooms.dispatch_import import Adoption
from token_service.rooms.events import Events
from token_service.rooms.issued_tokens import Passes
from token_service.rooms.livekit import Rooms, generation_of, is_present
from token_service.rooms.store import DISPATCH_GRACE_MAX_S, LockLost, Promises

log = structlog.stdlib.get_logger(__name__)

POLL_PERIOD_S = 1.0
JOINED_WAIT_S = 2.0  # a webhook waits for the room's lock; the poll comes again anyway
ENDED_GRACE_S = 5.0  # a host leaves an ended room by itself, which costs no thread of its own


@dataclass(slots=True)
class Dispatcher:
    """Sees to it that every room that needs a host has one."""

    promises: Promises
    workers: Workers
    rooms: Rooms
    places: Places
    breakers: Breakers
    events: Events
    passes: Passes
    adoption: Adoption
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
        if await self.promises.lost_memory():
            await self._restore(names)
        fleet = await self.workers.fleet()
        forgotten = await self.forgotten.look(fleet.rooms - set(names))
        rooms = {*names, *forgotten}
        self.troubles = {room: told for room, told in self.troubles.items() if room in rooms}
        promises = await self.promises.of(rooms)
        await self.passes.sweep(promise.room for promise in promises)
        hosted = [promise for promise in promises if fleet.hosts(promise)]
        await self.promises.touch(hosted)
        await self.promises.arrived(hosted)
        await self.places.settle(promise.room for promise in hosted)
        line = await self._line({promise.room for promise in promises} - {p.room for p in hosted})
        unhosted = [promise for promise in promises if promise.ended or not fleet.hosts(promise)]
        for promise in sorted(unhosted, key=lambda each: line.get(each.room, len(line))):
            await self._try(promise.room)
        for room in await self.adoption.found(set(names) - {p.room for p in promises}):
            await self._try(room)

    async def _restore(self, rooms: list[str]) -> None:
        """Redis lost everything: what was promised is read out of LiveKit's dispatches."""
        self.trusts_from = time.monotonic() + HEARTBEAT_TTL_S
        for room in rooms:
            if (promise := await self.rooms.promise_of(room)) is not None:
                await self.promises.restore(promise)
        await self.promises.remember()

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
        async with self.promises.alone(room, wait_s) as lock:
            if lock is None:
                return
            promise = await self.promises.read(room) or await self.adoption.adopt(room, lock)
            if promise is None:
                return
            fleet = await self.workers.fleet()
            if promise.ended:
                return await self._clear_ended(promise, fleet)
            if fleet.hosts(promise):
                return
            inside = await self.rooms.participants(room)
            if not await self._is_occupied(promise, inside, fleet):
                return await self.places.leave_line(room)
            await self.promises.touch([promise])
            if await self.awaited(promise, fleet) or time.monotonic() < self.trusts_from:
                return
            had_place = bool(promise.worker)
            promise = await self._mourn(promise, inside, fleet, lock)
            await self._place(promise, lock, FIRST if had_place else promise.opened_s)

    async def _is_occupied(
        self, promise: Promise, inside: list[api.ParticipantInfo], fleet: Fleet
    ) -> bool:
        """Whether a person is there; where LiveKit has forgotten who is, until a host has left."""
        if any(is_present(one) for one in inside):
            return True
        if fleet.left(promise):
            await self.forgotten.over(promise.room)
        return await self.forgotten.has(promise.room)

    async def awaited(self, promise: Promise, fleet: Fleet) -> bool:
        """Whether its host may still come. From a worker that is gone, or done with it, none will.

        A room that this happens to often waits all the same: it may be what its workers die of.
        """
        if fleet.done(promise) and await self.promises.calm([promise]):
            return False
        return await self.promises.awaited(promise)

    async def _mourn(
        self, promise: Promise, inside: list[api.ParticipantInfo], fleet: Fleet, lock: Lock
    ) -> Promise:
        """A dispatched generation has no host: nobody is to hear what it left, and it is counted.

        As a failure of its worker's where the host never came or ended with an error: one that
        leaves an empty room, or one that ended and was made anew, does right. Once only:
        afterwards the promise names no worker.
        """
        if any(generation_of(one) <= promise.generation for one in inside):
            await self.rooms.clear(later(promise))
        if not promise.worker:
            return promise
        refused = fleet.refuses(promise)  # it was full after all
        left = fleet.left(promise)
        lasted = left or (await self.promises.came(promise) and not fleet.failed(promise))
        if fleet.lives(promise.worker) and not refused and not lasted:
            await self.breakers.failed(promise.worker)
        mourned = await self._give_up(promise, lock)
        what = "host_refused" if refused else "host_left" if left else "host_lost"
        log.warning(what, room=promise.room, generation=promise.generation)
        return mourned

    async def _give_up(self, promise: Promise, lock: Lock) -> Promise:
        """Expect nothing more of the promise's worker, and hold nothing there."""
        await self.promises.await_no_more(promise)
        promise = await self.promises.change(promise, lock, worker="")
        await self.places.release(promise.room)
        return promise

    async def _place(self, promise: Promise, lock: Lock, since_s: float) -> None:
        """Dispatch where a worker has the slots, else let the room wait in the line."""
        fleet = await self.workers.fleet()
        room, personas = promise.room, len(promise.personas)
        try:
            await self.prompts.check(promise.personas, fleet)
        except InvalidInput as error:  # no worker was there to ask when it was promised
            too_long = Unavailable("prompt_too_long", str(error), 60)
            return await self.events.waits(room, too_long)
        worker = await self.places.take(room, personas, DISPATCH_GRACE_MAX_S, fleet)
        if worker is not None:
            return await self._dispatch(promise, worker, lock)
        await self.places.wait(room, personas, since_s)
        await self.events.waits(room, fleet.obstacle(personas) or full())

    async def _dispatch(self, promise: Promise, worker: str, lock: Lock) -> None:
        upcoming = await self.promises.next_generation(promise, worker, lock)
        try:
            await self.rooms.clear(upcoming)
            await self.rooms.dispatch(upcoming)
        except Unavailable:  # LiveKit's fault and not the worker's
            await self._give_up(upcoming, lock)
            raise
        metrics.DISPATCHES.labels("again" if promise.generation else "first").inc()
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

    async def _clear_ended(self, promise: Promise, fleet: Fleet) -> None:
        """People go at once; the room when its host has left it, or should have."""
        inside = await self.rooms.participants(promise.room)
        for person in inside:
            if is_present(person):
                await self.rooms.remove(person.identity, promise.room)
        hosted = fleet.hosts(promise) or any(generation_of(one) < float("inf") for one in inside)
        if hosted and time.time() <= promise.ended_s + ENDED_GRACE_S:
            return
        if not await self.forgotten.has(promise.room):
            await self.rooms.close(promise.room)
        elif await self.rooms.close_forgotten(promise.room):
            await self.forgotten.over(promise.room)


def later(promise: Promise) -> Promise:
    """The generation after this one, which nobody has yet."""
    return promise.model_copy(update={"generation": promise.generation + 1})


def _said(error: Exception) -> str:
    """What LiveKit itself said of it: the log alone tells that."""
    return error.said if isinstance(error, LiveKitAway) else ""
