"""Admission: gives a room the spec that a token or a session needs, or keeps the one that stands.

A spec in use stands: its host is there or awaited, or people are in the room. That of an open
session stands in any case, and any for a guest. A room belongs to the caller that opened it, until
it has been over for a while. A session reserves its slots from the start; for a mere token the
heartbeats are asked whether a worker has free slots, and none are reserved. Dispatches nothing.
"""

import time
from dataclasses import dataclass
from http import HTTPStatus

from protocol.config import tracing
from protocol.personas import Catalogue, Persona
from protocol.room_spec import RoomSpec, fresh_id, persona_specs
from token_service.auth.callers import ANYONE, Caller, Scope
from token_service.auth.rate_limit import RateLimiter
from token_service.fleet.fleet import Fleet
from token_service.fleet.prompt_limits import PromptLimits
from token_service.fleet.reader import FleetReader
from token_service.fleet.scheduler import may_hold, reserve, reserve_more
from token_service.fleet.space import Space
from token_service.refusals import Refused, Unavailable, full, over, recording_off, too_slow
from token_service.rooms.events import EventStore
from token_service.rooms.livekit import LiveKitRooms
from token_service.rooms.store import SpecChanged, SpecStore

ATTEMPTS = 8  # of requests for one room at the same moment, each of which changes it
MORE_S = 3.0  # within it a host sees the added personas and its heartbeat counts them


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """The personas that a caller asks for in a room. `opener`: the identity that opens it."""

    room: str
    personas: tuple[Persona, ...]
    caller: Caller = ANYONE
    opener: str = ""
    wait: bool = False
    max_people: int = 0  # at once; 0: no limit
    transcribe: bool = True
    record: bool = False


@dataclass(frozen=True, slots=True)
class RoomAdmission:
    """The rule that `/token` and `/sessions` apply."""

    catalogue: Catalogue
    specs: SpecStore
    workers: FleetReader
    rooms: LiveKitRooms
    events: EventStore
    prompts: PromptLimits
    limiter: RateLimiter
    space: Space
    hold_s: float
    may_record: bool = False

    async def admit(self, request: AdmissionRequest) -> RoomSpec:
        """Return the spec that holds for the room: the one that stands, or a new one.

        Raises `InvalidInput` for a voice or a prompt that no worker can take, `Unavailable` where
        no worker has free slots, `Refused` for another caller's room or one with another session,
        and for a recording without the scope or without a place.
        """
        if request.record:
            request.caller.require(Scope.RECORD)
            if not self.may_record:
                raise recording_off()
        for _ in range(ATTEMPTS):
            standing = await self.specs.read(request.room)
            await self._check_owner(request, standing)
            if standing is not None and (request.caller.guest or await self._stands(standing)):
                await self.specs.touch([standing])
                return _for_request(standing, request)
            try:
                return await self._replace(request, standing)
            except SpecChanged:
                continue
        raise SpecChanged

    async def check_people(self, spec: RoomSpec, identity: str) -> None:
        """Raise `Unavailable` if the room has `max_people` and this person is not among them.

        LiveKit refuses the join in any case, and tells a browser no reason.
        """
        if not spec.max_people:
            return
        people = await self.rooms.people(spec.room)
        if len(people) >= spec.max_people and identity not in people:
            sentence = f"This room has no place for another person: max_people={spec.max_people}."
            raise Unavailable("room_full", sentence, 5)

    async def _check_owner(self, request: AdmissionRequest, standing: RoomSpec | None) -> None:
        """Refuse another caller's room, and one in use without a spec: another application's."""
        if standing is not None:
            foreign = standing.owner not in ("", request.caller.id)
        else:
            foreign = await self.rooms.is_used(request.room)
            if foreign and await self.specs.is_restoring():
                raise Unavailable("busy", "Redis was emptied; sessions are restored. Try again.", 2)
        if foreign:
            raise Refused(HTTPStatus.FORBIDDEN, "not_yours", "This room belongs to another caller.")
        guest = request.caller.guest
        if guest is not None and not (standing and _is_on(standing, guest.session)):
            raise over()

    async def _stands(self, spec: RoomSpec) -> bool:
        if spec.ended:
            return False
        if spec.opener:
            return True
        fleet = await self.workers.fleet()
        if fleet.hosts(spec) or fleet.schedule.is_awaited(spec.room, spec.generation):
            return True
        if not await self.rooms.people(spec.room):
            return False
        if obstacle := fleet.obstacle(len(spec.personas)):
            raise obstacle
        return True

    async def _replace(self, request: AdmissionRequest, old: RoomSpec | None) -> RoomSpec:
        """Write a new spec, unless the room's spec is not the old one any more (`SpecChanged`)."""
        fleet = await self.workers.fleet()
        fleet.check_voices(request.personas, self.catalogue)
        await self.prompts.check(request.personas, fleet)
        await self.space.check()
        # A host of the old spec that comes late must find itself outdated.
        generation = old.newest + 1 if old and old.generation else 0
        same = old if old and not old.ended else None
        first = same or request  # what is kept of a session stays as its first caller was told
        spec = RoomSpec(
            room=request.room,
            generation=generation,
            personas=persona_specs(request.personas),
            session=same.session if same else fresh_id(),
            opened_s=time.time(),
            owner=request.caller.id,
            opener=request.opener,
            max_people=request.max_people,
            transcribe=first.transcribe,
            record=first.record,
            trace=tracing.current(),
        )
        await self.limiter.written(request.caller, len(spec.model_dump_json().encode()))
        self._check_slots(request, fleet)  # LiveKit is not asked for a room that is refused
        await self.rooms.ping()

        def replace(now: RoomSpec | None, fleet: Fleet) -> tuple[RoomSpec, None]:
            if now != old:
                raise SpecChanged
            self._check_slots(request, fleet)
            fleet.schedule.update(request.room, waiting="")
            return spec, None

        await self.specs.commit(request.room, replace)
        if same is None or request.caller.is_stranger:  # who may be another one than before
            await self.events.forget(request.room)
        return spec

    def _check_slots(self, request: AdmissionRequest, fleet: Fleet) -> None:
        """Reserve a session's slots, or see that it may wait for them. Raises `Unavailable`.

        A caller that holds its share for people who have not come reserves no more.
        """
        room, slots = request.room, len(request.personas)
        obstacle = fleet.obstacle(slots)
        reserves = bool(request.opener) and not obstacle
        if (
            reserves
            and may_hold(fleet, request.caller, room, slots, self.hold_s)
            and not reserve(fleet, room, slots, self.hold_s)
        ):
            fleet.schedule.update(room, hold=None)
            obstacle = full()
        if obstacle and not (request.wait and obstacle.code != "too_many_personas"):
            raise obstacle

    def reserve_more(self, caller: Caller, spec: RoomSpec, changed: RoomSpec, fleet: Fleet) -> None:
        """Reserve slots for personas that are added to a session. Raises `Unavailable`.

        Where its host is, or is to be once it has moved; or for all personas of a room that has
        none, no longer than before. A room that waits, or whose caller holds its share, reserves
        nothing more.
        """
        room, slots = spec.room, len(changed.personas)
        host = fleet.worker(spec.standby) or fleet.host(spec)
        if host is not None:
            taken = reserve_more(fleet, room, slots - len(spec.personas), host, MORE_S)
        elif fleet.schedule.is_reserved(room) and may_hold(fleet, caller, room, slots, self.hold_s):
            taken = reserve(fleet, room, slots, 0.0) is not None
        else:
            return
        if not taken:
            raise too_slow() if host is not None and host.too_slow else full()


def _is_on(standing: RoomSpec, session: str) -> bool:
    return standing.session == session and not standing.ended


def _for_request(standing: RoomSpec, request: AdmissionRequest) -> RoomSpec:
    """Return the standing spec: to any token, but to a session's opener only its own."""
    if request.opener and standing.opener != request.opener:
        raise Refused(
            HTTPStatus.CONFLICT,
            "room_in_use",
            "This room has a session already; a token or a guest link leads into it.",
        )
    return standing
