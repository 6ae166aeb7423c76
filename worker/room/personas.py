"""The personas of one room, kept equal to its spec. Runs on the room's event loop.

Each tick, `RoomPersonas.tick` lets the floor (`shared_floor.py`) decide which persona may speak
next, and gives each persona the sound of the people and of the other personas. `apply_spec` lets
personas join, leave and fall silent; `execute` carries out a command to say a line or to forget.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import structlog
from livekit import rtc

from protocol import wire
from protocol.commands import TAKEN, Answer, Command
from protocol.events import Event, WarningEvent
from protocol.retry import Retry
from protocol.room_spec import PersonaSpec, RoomSpec
from worker.backup.backup import RoomBackup
from worker.engine.arrays import Pcm
from worker.engine.slots import Full
from worker.livekit_private.attributes import set_attributes
from worker.room.context import HostContext
from worker.room.floor import FloorRules
from worker.room.persona.lines import Line
from worker.room.persona.participant import attributes_of, connect
from worker.room.persona.persona import RoomPersona
from worker.room.persona.slot import APART_S
from worker.room.shared_floor import SharedFloor
from worker.sound.mix import heard_by_each

log = structlog.get_logger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 30.0  # waits until a persona that is missing joins again


class RoomPersonas:
    """The personas that are in a room."""

    def __init__(
        self,
        job_room: rtc.Room,
        spec: RoomSpec,
        context: HostContext,
        emit: Callable[[Event], None],
        job_id: str,
        backup: RoomBackup,
        accepts: Callable[[Any], bool],
        *,
        stands_by: bool,
    ) -> None:
        """`job_room` is the job's connection: the first persona's, and the one that hears people.

        Slots were kept for the job; `accepts` judges the events of the other personas' connections.
        """
        self._job_room = job_room
        self._spec = spec
        self._context = context
        self._emit = emit
        self._job_id = job_id
        self._backup = backup
        self._accepts = accepts
        self._first_id = spec.personas[0].id  # joined with the job's connection
        self._present: dict[str, RoomPersona] = {}  # by the persona's id
        has_text = any(piece is not None for piece in context.engine.facts.pieces)
        understands = context.engine.facts.repertoire is None  # else it knows sentences by heart
        rules = FloorRules.of(context.settings, understands=understands)
        self._floor = SharedFloor(rules, self._present, emit, has_text=has_text)
        self._floor.wanted = len(spec.personas)
        self._changing = asyncio.Lock()
        # By id, of personas that could not join, or lost their connection.
        self._retries = defaultdict[str, Retry](
            lambda: Retry(FIRST_RETRY_S, LAST_RETRY_S, apart_s=APART_S)
        )
        self._has_started = False
        self._stands_by = stands_by  # until `take_over`
        self._is_closed = False

    @property
    def present(self) -> list[RoomPersona]:
        """The personas that have joined and not left."""
        return list(self._present.values())

    async def apply_spec(self, spec: RoomSpec) -> None:
        """Make the personas equal to a spec. Raises only if the first spec's cannot all join.

        Before `take_over` they join in silence, with the memory that is kept.
        """
        async with self._changing:
            if self._is_closed or (self._has_started and not self._job_room.isconnected()):
                return  # the host leaves
            self._spec = spec
            self._floor.wanted = len(spec.personas)
            wanted = {each.id: each for each in spec.personas}
            for persona_id in self._present.keys() - wanted.keys():
                await self._remove(persona_id)
            for persona in self.present:
                if not persona.room.isconnected():
                    await self._remove_disconnected(persona)
            for persona_id, persona in self._present.items():
                persona.mute(wanted[persona_id].muted)
            missing = self._missing()
            results = await asyncio.gather(*map(self._join, missing), return_exceptions=True)
            for persona_spec, error in zip(missing, results, strict=True):
                if isinstance(error, BaseException):
                    if not self._has_started:
                        raise error
                    self._report_join_failed(persona_spec, error)
            self._has_started = True
            if missing:
                self._context.reports.changed()

    async def take_over(self, floor_holder: str) -> None:
        """Let the personas that stand by go on where the last host has stopped."""
        while waiting := [each for each in self.present if each.stands_by]:
            await asyncio.gather(*(each.take_over() for each in waiting))
        self._stands_by = False
        self._floor.go_on(floor_holder)

    @property
    def floor_holder(self) -> str | None:
        """The id of the persona that may speak now."""
        return self._floor.holder

    @property
    def are_quiet(self) -> bool:
        """Whether no persona sounds, says a word or has a line to say."""
        return all(each.is_quiet for each in self.present)

    def needs_joins(self) -> bool:
        """Return whether a persona of the spec is missing and may join now."""
        return not self._changing.locked() and bool(self._missing())

    def execute(self, command: Command) -> Answer:
        """Carry out a command, or refuse it with the reason."""
        connected = [each for each in self.present if each.room.isconnected()]
        meant = [each for each in connected if command.persona_id in ("", each.spec.id)]
        if not meant:
            detail = "The persona is not in the room at the moment."
            return Answer(refusal="persona_absent", detail=detail)
        match command.do:
            case "forget":
                for persona in meant:
                    persona.forget()
                return TAKEN
            case "say":
                return self._say(meant[0], Line(command.id, command.text))

    def get(self, persona_id: str) -> RoomPersona | None:
        """Return a persona that is present, by its id."""
        return self._present.get(persona_id)

    def say_for_mind(self, persona_id: str, line: Line) -> Answer:
        """Have a persona say a line that its mind gave, or refuse it with the reason."""
        persona = self._present.get(persona_id)
        if persona is None:
            return Answer(refusal="persona_absent")
        return self._say(persona, line)

    def _say(self, persona: RoomPersona, line: Line) -> Answer:
        if (answer := persona.say(line)) == TAKEN:
            self._floor.person_took_part()
        return answer

    def tick(self, people: Pcm, person_speaks: bool) -> None:
        """Choose the next frame's speaker, then give each persona the sound to hear in this one.

        `people` is the people's sound, `[1920]` float32. All personas are in one engine step, which
        starts once their frames are pushed: the floor comes first.
        """
        if self._stands_by:
            for persona in self.present:
                persona.play_silence()
            return
        self._floor.decide(person_speaks)
        present = self.present
        heard = heard_by_each(people, [each.next_sound() for each in present])
        for persona, pcm in zip(present, heard, strict=True):
            persona.push_frame(pcm)

    @property
    def sounds(self) -> list[Pcm]:
        """The personas' frames of this tick, each `[1920]` float32."""
        return [each.sound for each in self.present if each.sound is not None]

    def take_words(self, text: str, *, typed: bool = False) -> None:
        """Take a person's words: the persona that they call or name may speak first."""
        if typed:  # who speaks is heard
            self._floor.person_took_part()
        self._floor.name_mentioned(text)

    async def leave(self) -> None:
        """Remove all personas; the job's connection stays.

        Personas that are joining finish first: if cancelled, they would stay and keep their slots.
        """
        self._is_closed = True
        await self._remove_all()
        async with self._changing:
            await self._remove_all()

    async def _remove_all(self) -> None:
        leaving = self.present
        await asyncio.gather(*(each.leave() for each in leaving), return_exceptions=True)
        await asyncio.gather(
            *(each.room.disconnect() for each in leaving if each.room is not self._job_room),
            return_exceptions=True,
        )
        for each in leaving:  # and not those that joined meanwhile
            self._present.pop(each.spec.id, None)

    def _missing(self) -> list[PersonaSpec]:
        connected = {each.spec.id for each in self.present if each.room.isconnected()}
        return [
            each
            for each in self._spec.personas
            if each.id not in connected and self._retries[each.id].ready
        ]

    async def _join(self, spec: PersonaSpec) -> None:
        """Let a persona join: the first with the job's connection, others with their own."""
        engine, settings = self._context.engine, self._context.settings
        room, stands_by = self._job_room, self._stands_by  # which may end before it has joined
        engine.refuse_if_full()  # else people would see it come and go at each try
        if spec.id != self._first_id:
            attributes = attributes_of(spec, self._spec, engine.facts.name, stands_by)
            room = await connect(spec, attributes, self._spec.room, settings, self._accepts)
        persona = RoomPersona(
            spec,
            room,
            engine,
            self._emit,
            self._floor.name_mentioned,
            self._backup.of(spec),
            has_floor=self._floor.all_may_speak,
        )
        try:
            begin = persona.stand_by if stands_by else persona.start
            await begin(self._job_id)
            if persona.stands_by and not self._stands_by:
                await persona.take_over()
        except Exception:
            await persona.leave()
            if room is not self._job_room:
                await room.disconnect()
            raise
        self._present[spec.id] = persona
        persona.mute(spec.muted)

    async def _remove(self, persona_id: str) -> None:
        persona = self._present.pop(persona_id)
        await persona.leave()
        if not self._stands_by:  # else it is the other host's
            persona.drop_backup()
        if persona.room is not self._job_room:
            await persona.room.disconnect()
        elif self._present:
            # The job's participant stays; frontends take it for the worker of another agent.
            other = self.present[0].identity
            changes = {wire.ATTR_ON_BEHALF: other, wire.ATTR_PERSONA_ID: ""}
            await set_attributes(self._job_room, changes)
        self._context.reports.changed()

    async def _remove_disconnected(self, persona: RoomPersona) -> None:
        """Remove a persona whose connection LiveKit has ended; it joins again later."""
        self._retries[persona.spec.id].failed()
        await self._remove(persona.spec.id)
        if not self._stands_by:
            detail = "The persona lost its connection and will return with a fresh memory."
            self._warn(persona.spec, "persona_lost", detail)

    def _report_join_failed(self, spec: PersonaSpec, error: BaseException) -> None:
        self._retries[spec.id].failed()
        log.warning("persona_missing", persona=spec.name, error=type(error).__name__)
        if isinstance(error, Full):
            self._warn(spec, "full", str(error))
        else:
            self._warn(spec, "persona_failed", "The persona could not join.")

    def _warn(self, spec: PersonaSpec, code: str, detail: str) -> None:
        self._emit(WarningEvent(at_s=time.time(), code=code, detail=detail, persona_id=spec.id))
