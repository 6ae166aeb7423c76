"""The cast: the personas of one room, kept equal to what the room was promised.

Runs on the room's event loop. Personas come, leave and fall silent as the promise changes; they
forget and say lines by commands; who speaks among several is the floor's. Knows LiveKit only as
rooms it opens.
"""

import asyncio
import re
import time
from collections.abc import Callable
from datetime import timedelta

import structlog
from livekit import api, rtc

from protocol import wire
from protocol.commands import TAKEN, Answer, Command
from protocol.config.secret import reveal
from protocol.events import FloorEvent, WarningEvent
from protocol.room_spec import PersonaSpec, RoomSpec
from worker.context import WorkerContext, attributes_of, identity_of
from worker.engine.arrays import Pcm
from worker.engine.slots import Full
from worker.livekit_private.incoming import read_nothing
from worker.livekit_private.native_events import native_events
from worker.retries import Retries
from worker.room.floor import Floor, FloorRules
from worker.room.lines import Line
from worker.room.persona import RoomPersona
from worker.sound.mix import heard_by_each

log = structlog.get_logger(__name__)


def last_mention(label: str, text: str) -> int | None:
    """Where a text names a persona last, by the first word of its label; None: it does not."""
    first_name = re.escape(re.split(r"[\s,]", label.strip())[0])
    places = [found.start() for found in re.finditer(rf"\b{first_name}\b", text, re.IGNORECASE)]
    return places[-1] if places else None


class RoomPersonas:
    """Who is on in a room. `follow` makes it equal to a promise; `tick` feeds it."""

    def __init__(
        self,
        ears_room: rtc.Room,
        spec: RoomSpec,
        context: WorkerContext,
        took: Callable[[], None],
    ) -> None:
        """`took` is called for each slot that is taken from the engine."""
        self._ears_room = ears_room
        self._spec = spec
        self._context = context
        self._took = took
        self._first_id = spec.personas[0].id  # joined as the job's own participant
        self._on: dict[str, RoomPersona] = {}
        self._floor = Floor(FloorRules.of(context.settings))
        self._following = asyncio.Lock()
        self._retries = Retries()  # of personas that could not come, or lost their connection
        self._begun = False
        self._over = False
        # A model without text shows no will: all may sound at once.
        self._has_text = any(piece is not None for piece in context.engine.model.pieces)

    @property
    def personas(self) -> list[RoomPersona]:
        """Everybody who is on."""
        return list(self._on.values())

    async def follow(self, spec: RoomSpec) -> None:
        """Make the cast equal to a promise. Raises only where the room's first cast cannot come."""
        async with self._following:
            if self._over:
                return
            self._spec = spec
            wanted = {each.id: each for each in spec.personas}
            for persona_id in self._on.keys() - wanted.keys():
                await self._dismiss(persona_id)
            for persona in [each for each in self._on.values() if not each.room.isconnected()]:
                await self._lose(persona)
            missing = self._missing()
            results = await asyncio.gather(
                *(self._bring(each) for each in missing), return_exceptions=True
            )
            for each, error in zip(missing, results, strict=True):
                if isinstance(error, BaseException):
                    if not self._begun:
                        raise error
                    self._retries.failed(each.id)
                    self._warn(each, error)
            self._begun = True
            for persona_id, persona in self._on.items():
                persona.mute(wanted[persona_id].muted)
            if missing:
                self._context.changed()

    def obey(self, command: Command) -> Answer:
        """Do a command, or refuse it with the reason."""
        there = [each for each in self._on.values() if each.room.isconnected()]
        meant = [each for each in there if command.persona_id in ("", each.promised.id)]
        if not meant:
            detail = "The persona is not in the room at the moment."
            return Answer(refusal="persona_absent", detail=detail)
        if command.do == "forget":
            for persona in meant:
                persona.forget()
            return TAKEN
        answer = meant[0].say(Line(command.id, command.text))
        if answer == TAKEN:
            self._floor.reopen()
        return answer

    def is_short(self) -> bool:
        """Whether somebody who was promised is not on, or no more, and may come now."""
        return not self._following.locked() and bool(self._missing())

    def _missing(self) -> list[PersonaSpec]:
        on = {each.promised.id for each in self._on.values() if each.room.isconnected()}
        return [
            each for each in self._spec.personas if each.id not in on and self._retries.due(each.id)
        ]

    def tick(self, people: Pcm, person_speaks: bool) -> None:
        """One frame for everybody: what each hears, and who may speak in the next."""
        personas = self.personas
        if self._has_text:  # before they hear: who may speak is settled for one and the same step
            self._share_floor(personas, person_speaks)
        heard = heard_by_each(people, [each.take_latest() for each in personas])
        for persona, pcm in zip(personas, heard, strict=True):
            persona.hear(pcm)

    def address(self, text: str, speaker: str = "") -> None:
        """Words that a persona said or, without a speaker, a person typed: the last named is first.

        Words that are said come here again with each that is added.
        """
        if not speaker:
            self._floor.reopen()
        named = [
            (place, persona_id)
            for persona_id, persona in self._on.items()
            if persona.identity != speaker
            and (place := last_mention(persona.persona.label, text)) is not None
        ]
        if named:
            self._floor.name(max(named)[1])

    async def leave(self) -> None:
        """Everybody leaves, at last who is still on the way; the connection with the ears stays.

        Those arrive first: cancelled, they would stay in the room and keep their slots.
        """
        self._over = True
        await self._empty()
        async with self._following:
            await self._empty()

    async def _empty(self) -> None:
        personas = self.personas
        await asyncio.gather(*(each.leave() for each in personas), return_exceptions=True)
        await asyncio.gather(
            *(each.room.disconnect() for each in personas if each.room is not self._ears_room),
            return_exceptions=True,
        )
        for each in personas:  # and not whoever came meanwhile
            self._on.pop(each.promised.id, None)

    async def _bring(self, promised: PersonaSpec) -> None:
        """One persona comes: the room's very first on the ears' connection, others on their own."""
        room = self._ears_room
        if promised.id != self._first_id:
            room = rtc.Room()
            settings = self._context.settings
            # Never cancelled: a cancelled connect ends the whole process (python-sdks#785). One
            # connection for each direction: with one for both LiveKit grows slow (decisions.md).
            options = rtc.RoomOptions(auto_subscribe=False, single_peer_connection=False)
            await room.connect(settings.livekit_url, self._token(promised), options)
            native_events().attach(room, read_nothing)
        there = RoomPersona(
            promised,
            room,
            self._context,
            self._spec.room,
            self.address,
            has_floor=self._all_may_sound,
        )
        try:
            await there.start(self._took)
        except Exception:
            await there.leave()
            if room is not self._ears_room:
                await room.disconnect()
            raise
        self._on[promised.id] = there

    async def _dismiss(self, persona_id: str) -> None:
        persona = self._on.pop(persona_id)
        await persona.leave()
        if persona.room is not self._ears_room:
            await persona.room.disconnect()
        elif self._on:
            # The ears stay connected; frontends take them for another agent's worker.
            other = next(iter(self._on.values())).identity
            await self._ears_room.local_participant.set_attributes(
                {wire.ATTR_ON_BEHALF: other, wire.ATTR_PERSONA_ID: ""}
            )
        self._context.changed()

    async def _lose(self, persona: RoomPersona) -> None:
        """LiveKit has dropped it for good. It comes again, with a memory of its own."""
        self._retries.failed(persona.promised.id)
        await self._dismiss(persona.promised.id)
        detail = "It lost its connection, and comes again with a fresh memory."
        self._tell_trouble(persona.promised, "persona_lost", detail)

    @property
    def _all_may_sound(self) -> bool:
        """Whether there is no floor: one persona is alone, or the model shows no will."""
        return not self._has_text or (len(self._spec.personas) < 2 and len(self._on) < 2)

    def _share_floor(self, personas: list[RoomPersona], person_speaks: bool) -> None:
        if self._all_may_sound:
            for persona in personas:
                persona.give_floor(True, shared=False)
                self._floor.seat(persona.promised.id)
            return
        before = self._floor.holder
        showing = {each.promised.id: each.showing() for each in personas}
        holder = self._floor.tick(showing, person_speaks)
        for persona in personas:
            persona.give_floor(persona.promised.id == holder)
        if holder != before:
            self._tell_floor(holder)

    def _tell_floor(self, holder: str | None) -> None:
        reason = self._floor.reason
        event = FloorEvent(at_s=time.time(), reason=reason)
        if holder is not None:
            persona = self._on[holder]
            event = FloorEvent(
                at_s=time.time(),
                persona_id=holder,
                persona=persona.persona.name,
                identity=persona.identity,
                reason=reason,
            )
        self._context.emit(self._spec.room, event)

    def _warn(self, promised: PersonaSpec, error: BaseException) -> None:
        log.warning("persona_missing", persona=promised.name, error=type(error).__name__)
        code = "full" if isinstance(error, Full) else "persona_failed"
        detail = str(error) if isinstance(error, Full) else "The persona could not join."
        self._tell_trouble(promised, code, detail)

    def _tell_trouble(self, promised: PersonaSpec, code: str, detail: str) -> None:
        event = WarningEvent(at_s=time.time(), code=code, detail=detail, persona_id=promised.id)
        self._context.emit(self._spec.room, event)

    def _token(self, promised: PersonaSpec) -> str:
        """A token for a persona's own connection: kind agent, publishes, hears nothing."""
        settings = self._context.settings
        secret = reveal(settings, "livekit_api_secret", "token for a persona")
        grants = api.VideoGrants(
            room_join=True,
            room=self._spec.room,
            agent=True,
            can_publish=True,
            can_subscribe=False,
            can_publish_data=True,
            can_update_own_metadata=True,
        )
        return (
            api.AccessToken(settings.livekit_api_key, secret)
            .with_kind("agent")
            .with_identity(identity_of(promised))
            .with_name(promised.label)
            .with_attributes(attributes_of(promised, self._spec, self._context.engine.model.name))
            .with_grants(grants)
            .with_ttl(timedelta(minutes=5))
            .to_jwt()
        )
