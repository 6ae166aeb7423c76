"""Rooms in which LiveKit itself was asked for us, and not this service: they are promised the same.

By a token's room configuration, minted with LiveKit's key; by a SIP dispatch rule; by
`lk dispatch create`. Such a dispatch of `AGENT_NAME` reaches no worker, because those have names
of their own. Whoever made it, what it carries is a client's wish: it is read as the token endpoint
reads one (personas, voices, prompts, and nothing else), once, when a person is there.
"""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog
from redis.asyncio.lock import Lock

from protocol.errors import InvalidInput
from protocol.personas import PERSONAS_PER_ROOM, Catalogue
from protocol.room_spec import PersonaSpec, RoomSpec, fresh_id, persona_specs
from token_service.fleet.prompt_limits import PromptLimits
from token_service.fleet.reader import FleetReader
from token_service.rooms.events import EventStore
from token_service.rooms.livekit import LiveKitRooms
from token_service.rooms.persona_request import personas_asked_for
from token_service.rooms.store import SpecStore

log = structlog.stdlib.get_logger(__name__)

OWNER = "livekit"  # no caller has this id: who has LiveKit's key needs no token of ours
LOOK_AGAIN_S = 10.0  # for a dispatch made into a room that is there already; nobody tells us


@dataclass(slots=True)
class DispatchImport:
    """Finds such rooms and promises them what was asked for."""

    catalogue: Catalogue
    default: str
    specs: SpecStore
    rooms: LiveKitRooms
    events: EventStore
    workers: FleetReader
    prompts: PromptLimits
    look_at_s: dict[str, float] = field(default_factory=dict[str, float])  # room → monotonic

    async def found(self, strangers: Iterable[str]) -> list[str]:
        """Those rooms, of the ones that were promised nothing. Each is asked after now and then."""
        now_s, rooms = time.monotonic(), set(strangers)
        self.look_at_s = {room: at for room, at in self.look_at_s.items() if room in rooms}
        due = [room for room in rooms if self.look_at_s.get(room, now_s) <= now_s]
        self.look_at_s |= dict.fromkeys(due, now_s + LOOK_AGAIN_S)
        return [room for room in due if await self.rooms.asked_for(room)]

    async def import_dispatch(self, room: str, lock: Lock) -> RoomSpec | None:
        """Promise a room what it was asked for; nothing where nobody asked for us in it."""
        if not await self.rooms.names([room]):  # asked about a room that is not, LiveKit hangs
            return None
        asked = await self.rooms.asked_for(room)
        if not asked:
            return None
        try:
            personas = self._personas(asked)
        except InvalidInput:  # its text may show what somebody wrote
            return self._refuse(room, "metadata as /token takes it")
        try:
            await self.prompts.check(personas, await self.workers.fleet())
        except InvalidInput as error:
            return self._refuse(room, str(error))
        spec = RoomSpec(
            room=room, personas=personas, session=fresh_id(), opened_s=time.time(), owner=OWNER
        )
        await self.specs.write(spec, lock)
        await self.events.forget(room)
        log.info("room_adopted", room=room, personas=len(personas))
        return spec

    def _refuse(self, room: str, expected: str) -> None:
        """Say what was expected, and look at this room's dispatches no more."""
        log.warning("dispatch_refused", room=room, expected=expected)
        self.look_at_s[room] = math.inf

    def _personas(self, asked: Iterable[str]) -> tuple[PersonaSpec, ...]:
        wanted = [
            persona
            for metadata in asked
            for persona in personas_asked_for(metadata, self.catalogue, self.default)
        ]
        if len(wanted) > PERSONAS_PER_ROOM:
            raise InvalidInput(f"{len(wanted)} personas; expected at most {PERSONAS_PER_ROOM}")
        return persona_specs(wanted)
