"""One persona in a room: its participant, slot, voice, words and state.

Runs on its room's event loop; only `_deliver` and `_lose` are called elsewhere, on the engine
thread.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog
from livekit import rtc

from protocol import wire
from protocol.commands import Answer
from protocol.events import Event, SaidEvent, StateEvent, TranscriptEvent, TurnEvent, WarningEvent
from protocol.room_spec import PersonaSpec
from worker.context import WorkerContext
from worker.engine.arrays import Pcm
from worker.engine.slots import Full, Occupant, SlotFrame
from worker.metrics import TURN_S
from worker.room.background_tasks import Background
from worker.room.floor import Showing
from worker.room.lines import Line, Lines
from worker.room.transcript import Transcript
from worker.room.words import Added, Closed, Words
from worker.sound.turns import TurnTimer
from worker.sound.voice import Voice
from worker.sound.voicing import Voicing

log = structlog.get_logger(__name__)

QUIET = Showing(wants=False, sounds=False)
COMES_BACK = 3  # times that it takes another slot after its own failed


class RoomPersona:
    """A persona that is in its room, connected as a participant of its own.

    Its owner calls `start`, then `hear` once per tick, then `leave`.
    """

    def __init__(
        self,
        promised: PersonaSpec,
        room: rtc.Room,
        context: WorkerContext,
        room_name: str,
        on_words: Callable[[str, str], None],
        *,
        has_floor: bool = True,
    ) -> None:
        self.persona = self.promised = promised
        self.room = room
        self._context = context
        self._room_name = room_name
        self._on_words = on_words
        self._engine = engine = context.engine
        self._loop = asyncio.get_running_loop()
        self._voice = Voice(room, promised.name)
        self._words = Words(engine.model.pieces, engine.model.frame_s)
        self._voicing = Voicing()
        self._turns = TurnTimer()
        self._latest: Pcm | None = None
        self._frame: SlotFrame | None = None
        self._shown = QUIET
        self._lines = Lines(
            promised, engine.model.repertoire, self._give_line, self._forget, self._line_ended
        )
        self._muted = False
        self._has_floor = has_floor
        self._floor_told = ""
        self._hushed = False
        self._telling = asyncio.Lock()  # attributes reach the server in the order of their changes
        self._background = Background("persona", promised.name)
        self._transcript: Transcript | None = None
        self._occupant: Occupant | None = None
        self._slots_lost = 0

    @property
    def identity(self) -> str:
        """Identity of its participant."""
        return self.room.local_participant.identity

    async def start(self, took: Callable[[], None]) -> None:
        """Publish the voice, take the slot, tell the room that it listens. Raises `Full`.

        `took` is called as soon as the slot is taken.
        """
        await self._voice.publish()
        assert self._voice.publication is not None
        self._transcript = Transcript(self.room, self.persona.name, self._voice.publication.sid)
        self._take_slot()
        took()
        self._lines.greet()
        await self._tell_state("listening")

    def _take_slot(self) -> None:
        self._occupant = self._engine.join(self.persona, self._deliver, self._lose)
        self._hushed = False
        self._apply_hush()

    def hear(self, pcm: Pcm) -> None:
        """Give the model its next frame, `[1920]` float32: everybody in the room but itself."""
        if self._occupant is not None:
            self._engine.push(self._occupant, pcm)

    def take_latest(self) -> Pcm | None:
        """The frame it said since the last tick, for the other personas' ears."""
        latest, self._latest = self._latest, None
        return latest

    def person_started(self) -> None:
        """A person began to speak."""
        self._turns.person_started()

    def person_ended(self, at_s: float) -> None:
        """The people fell silent at `at_s`, in the loop's time."""
        self._count_turn(self._turns.person_ended(at_s))

    def showing(self) -> Showing:
        """What it shows in this tick: whether it wants to speak, and whether it does."""
        frame, self._frame = self._frame, None
        if frame is not None:  # else it is late, and nothing is known to have changed
            padding = self._engine.model.padding
            sounds = self._voicing.voiced or frame.text != padding
            self._shown = Showing(wants=frame.will != padding, sounds=sounds)
        return QUIET if self._muted else replace(self._shown, line=bool(self._lines))

    def mute(self, muted: bool) -> None:
        """Silence it and drop what it was to say, or let it speak again; it goes on listening."""
        self._muted = muted
        self._apply_hush()
        if muted and self._lines:
            self._lines.drop()
            if self._occupant is not None:
                self._engine.drop_lines(self._occupant)

    def give_floor(self, has_floor: bool, *, shared: bool = True) -> None:
        """Give it the floor or take it; the room is told where it is `shared` with others."""
        self._has_floor = has_floor
        self._apply_hush()
        value = "true" if has_floor and shared else ""
        if value != self._floor_told:
            self._floor_told = value
            self._background.spawn(self._set_attributes({wire.ATTR_FLOOR: value}))

    def forget(self) -> None:
        """Get a fresh memory, without a new connection, after the lines that it is to say."""
        self._lines.forget()

    def say(self, line: Line) -> Answer:
        """Say a line as soon as it has the floor and pauses; or refuse, with the reason."""
        if self._occupant is None:
            return Answer(refusal="persona_absent", detail=f"{self.persona.label} has no slot.")
        if self._muted:
            detail = f"{self.persona.label} is muted. Unmute it first."
            return Answer(refusal="persona_muted", detail=detail)
        return self._lines.ask(line)

    def _apply_hush(self) -> None:
        hushed = self._muted or not self._has_floor
        if hushed != self._hushed and self._occupant is not None:
            self._hushed = hushed
            self._engine.hush(self._occupant, hushed)

    def _give_line(self, line: Line) -> None:
        """Have the engine say a line. It tells the end on its own thread."""

        def done(whole: bool) -> None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._lines.over, line, whole)

        if self._occupant is None:
            self._lines.over(line, whole=False)
        else:
            self._engine.say(self._occupant, line.text, done)

    def _forget(self) -> None:
        if self._occupant is not None:
            self._engine.forget(self._occupant)

    def _line_ended(self, line: Line, whole: bool) -> None:
        if line.id:
            self._emit(SaidEvent(**self._about(), line_id=line.id, whole=whole))

    async def leave(self) -> None:
        """Fade out, free the slot, finish the words, unpublish."""
        await self._voice.fade_out()
        if self._occupant is not None:
            self._engine.leave(self._occupant)
            self._occupant = None
        self._lines.drop()
        self._publish_words(self._words.close())
        if self._transcript is not None:
            await self._transcript.aclose()
        await self._voice.unpublish()
        self._background.cancel()

    def _deliver(self, frame: SlotFrame) -> None:
        """Engine thread."""
        with contextlib.suppress(RuntimeError):  # the loop may close between two frames
            self._loop.call_soon_threadsafe(self._take, frame)

    def _lose(self) -> None:
        """Engine thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._come_back)

    def _come_back(self) -> None:
        """Its slot failed: it goes on in another, with a fresh memory, unless that is of no use."""
        if self._occupant is None:
            return
        self._occupant = None
        self._publish_words(self._words.close())
        self._slots_lost += 1
        try:
            if self._slots_lost > COMES_BACK:
                raise Full("it failed too often")
            self._take_slot()
            detail = "It had to begin anew, and has forgotten what was said."
        except Full as error:
            detail = f"It cannot go on: {error}."
        self._lines.cut()
        self._emit(WarningEvent(**self._about(), code="slot_failed", detail=detail))

    def _take(self, frame: SlotFrame) -> None:
        self._latest, self._frame = frame.pcm, frame
        self._voice.play(frame.pcm)
        self._publish_words(self._words.feed(frame.text, frame.index))
        if self._voicing.feed(frame.pcm):
            self._change_state()

    def _publish_words(self, changes: list[Added | Closed]) -> None:
        if self._transcript is None or not changes:
            return
        self._transcript.feed(changes)
        for change in changes:
            final = isinstance(change, Closed)
            text = change.text if final else change.so_far
            end_s = change.end_s if final else change.start_s
            self._emit(
                TranscriptEvent(
                    **self._about(),
                    segment_id=change.segment_id,
                    text=text,
                    final=final,
                    start_s=change.start_s,
                    end_s=end_s,
                )
            )
            if not final:
                self._on_words(text, self.identity)

    def _about(self) -> dict[str, Any]:
        """The fields that every event of a persona has."""
        return {
            "at_s": time.time(),
            "persona_id": self.promised.id,
            "persona": self.promised.name,
            "identity": self.identity,
        }

    def _emit(self, event: Event) -> None:
        self._context.emit(self._room_name, event)

    def _change_state(self) -> None:
        if self._voicing.speaking:
            self._count_turn(self._turns.persona_started(self._loop.time()))
            self._background.spawn(self._tell_state("speaking"))
        else:
            self._turns.persona_paused()
            self._background.spawn(self._tell_state("listening"))

    def _count_turn(self, latency_s: float | None) -> None:
        if latency_s is None:
            return
        TURN_S.observe(latency_s)
        message = wire.TurnMessage(
            identity=self.identity, persona=self.persona.name, latency_ms=round(latency_s * 1000)
        )
        log.info("turn", identity=self.identity, latency_ms=message.latency_ms)
        self._background.spawn(self._publish(message.model_dump_json(), wire.TURN_TOPIC))
        self._emit(TurnEvent(**self._about(), latency_ms=message.latency_ms))

    async def _tell_state(self, state: wire.AgentState) -> None:
        self._emit(StateEvent(**self._about(), state=state))
        await self._set_attributes({wire.ATTR_AGENT_STATE: state})

    async def _set_attributes(self, attributes: dict[str, str]) -> None:
        async with self._telling:
            await self.room.local_participant.set_attributes(attributes)

    async def _publish(self, payload: str, topic: str) -> None:
        await self.room.local_participant.publish_data(payload, topic=topic)
