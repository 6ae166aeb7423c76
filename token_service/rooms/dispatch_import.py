"""Imports dispatches that were made at LiveKit itself: their rooms get a spec like any other.

Made by a token's room configuration, minted with LiveKit's key; by a SIP dispatch rule; by
`lk dispatch create`. Such a dispatch of `AGENT_NAME` reaches no worker, because workers have names
of their own. Its metadata is read as the token endpoint reads a request (personas, voices, prompts,
and nothing else), once, when a person is there.
"""

import asyncio
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog

from protocol.config import tracing
from protocol.errors import InvalidInput
from protocol.personas import PERSONAS_PER_ROOM, Catalogue
from protocol.room_spec import PersonaSpec, RoomSpec, fresh_id, persona_specs
from token_service.fleet.fleet import Fleet
from token_service.fleet.prompt_limits import PromptLimits
from token_service.fleet.reader import FleetReader
from token_service.refusals import LiveKitAway
from token_service.rooms.events import EventStore
from token_service.rooms.livekit import LiveKitRooms
from token_service.rooms.persona_request import personas_asked_for
from token_service.rooms.store import SpecStore

log = structlog.stdlib.get_logger(__name__)

OWNER = "livekit"  # no caller has this id: the holder of LiveKit's key needs no token of ours
AT_ONCE = 50  # questions to LiveKit; a time-out counts from the moment that one is asked
LOOK_AGAIN_S = 10.0  # LiveKit sends no webhook for a dispatch that is made into an existing room


@dataclass(slots=True)
class DispatchImport:
    catalogue: Catalogue
    default: str
    specs: SpecStore
    rooms: LiveKitRooms
    events: EventStore
    workers: FleetReader
    prompts: PromptLimits
    look_at_s: dict[str, float] = field(default_factory=dict[str, float])  # room → monotonic
    asking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def found(self, without_spec: Iterable[str]) -> list[str]:
        """Return the rooms with such a dispatch; each room is looked at every ten seconds.

        Many at once: while LiveKit hangs for one that ended, more of them end.
        """
        now_s, rooms = time.monotonic(), set(without_spec)
        self.look_at_s = {room: at for room, at in self.look_at_s.items() if room in rooms}
        due = [room for room in rooms if self.look_at_s.get(room, now_s) <= now_s]
        self.look_at_s |= dict.fromkeys(due, now_s + LOOK_AGAIN_S)
        asked = await asyncio.gather(*(self._is_asked_for(room) for room in due))
        return [room for room, is_asked in zip(due, asked, strict=True) if is_asked]

    async def _is_asked_for(self, room: str) -> bool:
        """Return whether a room has such a dispatch; False where LiveKit does not say.

        LiveKit hangs when asked about a room that ended since it was listed: that must not end the
        sweep.
        """
        async with self.asking:
            try:
                return bool(await self.rooms.asked_for(room))
            except LiveKitAway:
                return False

    async def import_dispatch(self, room: str) -> RoomSpec | None:
        """Write the spec that a room's dispatches ask for, and return it; None without any."""
        if not await self.rooms.names([room]):  # LiveKit hangs when asked about no room
            return None
        asked = await self.rooms.asked_for(room)
        if not asked:
            return None
        try:
            personas = self._personas(asked)
        except InvalidInput:  # its text may show a client's prompt
            return self._refuse(room, "metadata as /token takes it")
        fleet = await self.workers.fleet()
        try:
            fleet.check_voices(personas, self.catalogue)
            await self.prompts.check(personas, fleet)
        except InvalidInput as error:
            return self._refuse(room, str(error))
        with tracing.span("import dispatch"):  # the root of this room's trace
            spec = RoomSpec(
                room=room,
                personas=personas,
                session=fresh_id(),
                opened_s=time.time(),
                owner=OWNER,
                trace=tracing.current(),
            )

        def write(now: RoomSpec | None, _: Fleet) -> tuple[RoomSpec, bool]:
            return now or spec, now is None

        if not await self.specs.commit(room, write):
            return await self.specs.read(room)
        await self.events.forget(room)
        log.info("room_adopted", room=room, personas=len(personas))
        return spec

    def _refuse(self, room: str, expected: str) -> None:
        """Log the refusal, and do not look at this room's dispatches again."""
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
