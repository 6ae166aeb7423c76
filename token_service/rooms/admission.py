"""Who gets into which room: keeps or writes the room's promise before a token is minted.

A promise that was collected stands: its host is there or awaited, or people are in the room. That
of an open session stands in any case, and any for a guest. A room belongs to the caller who opened
it, until it has been over for a while. A session holds its place from the start; for a mere token,
whether a place is free is asked of the heartbeats and not reserved. Dispatches nothing.
"""

import time
from dataclasses import dataclass, replace
from http import HTTPStatus

from redis.asyncio.lock import Lock

from protocol.personas import Catalogue, Persona
from protocol.room_spec import RoomSpec, fresh_id, persona_specs
from token_service.auth.callers import ANYONE, Caller
from token_service.auth.rate_limit import RateLimiter
from token_service.errors import Refused, Unavailable, full, over
from token_service.fleet.holds import Holds
from token_service.fleet.prompt_limits import PromptLimits
from token_service.fleet.reader import Fleet, FleetReader
from token_service.fleet.reservations import Reservations
from token_service.fleet.space import Space
from token_service.rooms.events import EventStore
from token_service.rooms.livekit import LiveKitRooms
from token_service.rooms.store import SpecStore

LOCK_WAIT_S = 3.0
MORE_S = 3.0  # within it a host sees the newcomers and its heartbeat counts them


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """Whom somebody wants in which room. `opener`: the identity that a session is opened for."""

    room: str
    personas: tuple[Persona, ...]
    caller: Caller = ANYONE
    opener: str = ""
    wait: bool = False
    max_people: int = 0  # at once; 0: no limit


@dataclass(frozen=True, slots=True)
class RoomAdmission:
    """The rule that `/token` and `/sessions` apply."""

    catalogue: Catalogue
    specs: SpecStore
    workers: FleetReader
    rooms: LiveKitRooms
    places: Reservations
    events: EventStore
    prompts: PromptLimits
    holds: Holds
    limiter: RateLimiter
    space: Space
    hold_s: float

    async def admit(self, wish: AdmissionRequest) -> RoomSpec:
        """Make sure that the room has a promise and a place, and give the promise that holds.

        Raises `InvalidInput` for a voice or a prompt that no worker can take, `Unavailable` where
        no place is free, `Refused` for a room of somebody else's or one that has another session.
        """
        async with self.specs.alone(wish.room, LOCK_WAIT_S) as lock:
            if lock is None:
                raise Unavailable("busy", "The room is being prepared. Try again.", 1)
            standing = await self.specs.read(wish.room)
            await self._check_owner(wish, standing)
            if standing is not None and (wish.caller.guest or await self._stands(standing)):
                await self.specs.touch([standing])
                return _for_wish(standing, wish)
            return await self._spec(wish, standing, lock)

    async def _check_owner(self, wish: AdmissionRequest, standing: RoomSpec | None) -> None:
        """A room is its owner's; one in use that we promised nothing is another application's."""
        if standing is not None:
            foreign = standing.owner not in ("", wish.caller.id)
        else:
            foreign = await self.rooms.is_used(wish.room)
            if foreign and await self.specs.is_restoring():
                raise Unavailable("busy", "Redis was emptied; sessions are restored. Try again.", 2)
        if foreign:
            raise Refused(HTTPStatus.FORBIDDEN, "not_yours", "This room belongs to another caller.")
        guest = wish.caller.guest
        if guest is not None and not (standing and _is_on(standing, guest.session)):
            raise over()

    async def _stands(self, spec: RoomSpec) -> bool:
        if spec.ended:
            return False
        if spec.opener:
            return True
        fleet = await self.workers.fleet()
        if fleet.hosts(spec) or await self.specs.awaited(spec):
            return True
        if not await self.rooms.people(spec.room):
            return False
        if obstacle := fleet.obstacle(len(spec.personas)):
            raise obstacle
        return True

    async def _spec(self, wish: AdmissionRequest, old: RoomSpec | None, lock: Lock) -> RoomSpec:
        fleet = await self.workers.fleet()
        fleet.check_voices(wish.personas, self.catalogue)
        await self.prompts.check(wish.personas, fleet)
        await self.space.check()
        # A host of the old promise that comes late must find itself outdated.
        generation = old.generation + 1 if old and old.generation else 0
        spec = RoomSpec(
            room=wish.room,
            generation=generation,
            personas=persona_specs(wish.personas),
            session=fresh_id(),
            opened_s=time.time(),
            owner=wish.caller.id,
            opener=wish.opener,
            max_people=wish.max_people,
        )
        await self.limiter.written(wish.caller, len(spec.model_dump_json().encode()))
        await self._check_place(wish, fleet)
        await self.rooms.ping()
        await self.specs.write(spec, lock)
        await self.events.forget(wish.room)
        return spec

    async def _check_place(self, wish: AdmissionRequest, fleet: Fleet) -> None:
        """Hold a session's place, or see that it may wait for one. Raises `Unavailable`.

        A caller that holds its share for people who have not come holds no more.
        """
        slots = len(wish.personas)
        obstacle = fleet.obstacle(slots)
        holds = bool(wish.opener) and not obstacle
        if holds and await self._may_hold(wish.caller, wish.room, slots, fleet):
            obstacle = await self._hold(wish.room, slots, fleet)
        if obstacle and not (wish.wait and obstacle.code != "too_many_personas"):
            raise obstacle

    async def _hold(self, room: str, slots: int, fleet: Fleet) -> Unavailable | None:
        if await self.places.take(room, slots, self.hold_s, fleet):
            return None
        await self.holds.forget(room)
        return full()

    async def _may_hold(self, caller: Caller, room: str, slots: int, fleet: Fleet) -> bool:
        return await self.holds.grant(caller, room, slots, self.hold_s, fleet)

    async def hold_more(
        self, caller: Caller, spec: RoomSpec, changed: RoomSpec, fleet: Fleet
    ) -> None:
        """Hold slots for a running session's newcomers where its host is, or for all of a new one.

        That is no longer than before. A room that waits, or whose caller holds its share, holds
        nothing more. Raises `Unavailable`.
        """
        room, slots = spec.room, len(changed.personas)
        if (host := fleet.host(spec)) is not None:
            name = f"{room} + {changed.personas[-1].id}"  # in no heartbeat, so its time ends it
            slots -= len(spec.personas)
            taken = await self.places.take(name, slots, MORE_S, replace(fleet, workers=(host,)))
        elif room in fleet.placed and await self._may_hold(caller, room, slots, fleet):
            taken = await self.places.take(room, slots, 0.0, fleet)
        else:
            return
        if taken is None:
            raise full()


def _is_on(standing: RoomSpec, session: str) -> bool:
    return standing.session == session and not standing.ended


def _for_wish(standing: RoomSpec, wish: AdmissionRequest) -> RoomSpec:
    """A token joins whatever stands; a session only its own, opened twice."""
    if wish.opener and standing.opener != wish.opener:
        raise Refused(
            HTTPStatus.CONFLICT,
            "room_in_use",
            "This room has a session already; a token or a guest link leads into it.",
        )
    return standing
