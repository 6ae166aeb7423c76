"""One persona in a room. Runs on its room's event loop.

A frame's way: `push_frame` gives the model what the persona hears; the engine returns what it says
on its own thread (`_on_frame`); `_handle_frame` plays it, and `take_sound` passes it to the other
personas. `give_floor` and `mute` hush the model, `say` and `forget` queue lines (`LineQueue`).
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
import structlog
from livekit import rtc

from protocol.commands import Answer
from protocol.events import Event
from protocol.room_spec import PersonaSpec
from worker.backup.backup import PersonaBackup, Recalled
from worker.engine.arrays import Pcm
from worker.engine.engine import Engine
from worker.engine.model import Remembered
from worker.engine.slots import Full, Occupant, SlotFrame
from worker.room.background_tasks import BackgroundTasks, call_on_loop
from worker.room.floor import PersonaFrame
from worker.room.lines import Line, LineQueue
from worker.room.reporter import PersonaReporter
from worker.room.standby import Standby
from worker.room.words import SegmentUpdate, Words
from worker.sound.activity import TurnTimer, VoiceActivity
from worker.sound.ring import Ring
from worker.sound.voice import Voice

log = structlog.get_logger(__name__)

SILENT = PersonaFrame(wants_to_speak=False, is_sounding=False)
SLOTS_MOST = 4  # that fail one after another before the persona gives up
SILENCE = np.zeros(1920, dtype=np.float32)
SILENCE.flags.writeable = False
REST_FRAMES = 3  # without a word: the model has not begun to answer
WAIT_MOST_S = 2.0  # for a mind


class RoomPersona:
    """A persona that is connected to its room as a participant of its own.

    Its owner calls `start`, then `push_frame` once per tick, then `leave`.
    """

    def __init__(
        self,
        spec: PersonaSpec,
        room: rtc.Room,
        engine: Engine,
        emit: Callable[[Event], None],
        on_words: Callable[[str, str], None],
        backup: PersonaBackup,
        *,
        has_floor: bool = True,
    ) -> None:
        """`on_words(text, identity)` gets the text of each segment as it grows."""
        self.spec = spec
        self.room = room
        self._engine = engine
        self._on_words = on_words
        self._backup = backup
        self._loop = asyncio.get_running_loop()
        self._voice = Voice(room, spec.name)
        self._words = Words(engine.model.pieces, engine.model.frame_s)
        self._activity = VoiceActivity()
        self._turns = TurnTimer()
        self._reporter = PersonaReporter(spec, room, emit)
        self._lines = LineQueue(
            spec,
            engine.model.repertoire,
            self._give_line,
            self._forget_now,
            self._drop_unbegun_line,
            self._on_line_ended,
        )
        self._tasks = BackgroundTasks("persona", spec.name)
        self._standby = Standby(engine, backup, self._take_slot)
        self._sound: Pcm | None = None  # since the last tick
        self._to_record = Ring()  # every frame, also where two come in one tick
        self._new_frame: SlotFrame | None = None  # since the last tick
        self._floor_frame = SILENT
        self._is_muted = False
        self._has_floor = has_floor
        self._shows_floor = False
        self._is_hushed = False
        self._occupant: Occupant | None = None
        self._slots_failed = 0
        self._rest_frames = 0  # since the model's last word
        self._frame_took_s = 0.0  # from `push_frame` to `_handle_frame`
        self._waits_until_s = 0.0  # for its mind, by the loop's clock
        self._frames_waited = 0

    @property
    def identity(self) -> str:
        """The identity of the persona's participant."""
        return self.room.local_participant.identity

    async def start(self, on_slot_taken: Callable[[], None]) -> None:
        """Publish the voice, take a slot, report that the persona listens. Raises `Full`.

        What an earlier host has kept of it, it remembers, and it says what it had to say then.
        """
        self._reporter.start_transcript(await self._voice.publish())
        recalled = await self._backup.recall()
        self._take_slot(recalled and recalled.remembered)
        on_slot_taken()
        if recalled is None:
            self._lines.add_greeting()
        self._begin(recalled)
        await self._reporter.report_state("listening")

    async def stand_by(self, on_slot_taken: Callable[[], None]) -> None:
        """Publish the voice and take a slot; return once its memory is there. Raises `Full`."""
        self._reporter.start_transcript(await self._voice.publish())
        await self._standby.prepare()
        on_slot_taken()

    def play_silence(self) -> None:
        """Be silent for a frame, while another host's persona speaks."""
        self._voice.play(SILENCE)

    async def take_over(self) -> None:
        """Remember what was said up to now, and be the persona from the next frame on."""
        try:
            self._begin(await self._standby.finish())
        except TimeoutError:
            log.warning("memory_late", persona=self.spec.name)
        self._tasks.spawn(self._reporter.report_taken_over())

    def push_frame(self, pcm: Pcm) -> None:
        """Give the model what the persona hears in this tick, `[1920]` float32."""
        if self._loop.time() < self._waits_until_s:
            self._frames_waited += 1
            self._loop.call_later(self._frame_took_s, self._voice.play, SILENCE)
        elif self._occupant is not None:
            self._engine.push(self._occupant, pcm)

    def wait_for_mind(self) -> None:
        """Let the model stand still until its mind has decided, unless it has begun to answer.

        It gets no frames, so that for it no time passes: after it was hushed for as long, it would
        not answer by itself any more.
        """
        if self._rest_frames >= REST_FRAMES and not self._lines.is_active:
            self._waits_until_s = self._loop.time() + WAIT_MOST_S

    def go_on(self) -> None:
        """Let the model go on: the mind has decided, or a person speaks."""
        self._waits_until_s = 0.0

    def take_sound(self) -> Pcm | None:
        """Return what the persona said since the last tick, `[1920]` float32."""
        sound, self._sound = self._sound, None
        return sound

    def take_recorded(self) -> Pcm | None:
        """Return the frame to record in this tick, `[1920]` float32."""
        return self._to_record.take()

    def floor_frame(self) -> PersonaFrame:
        """Return what the persona does in this tick; a late frame counts as unchanged."""
        frame, self._new_frame = self._new_frame, None
        if frame is not None:
            padding = self._engine.model.padding
            self._floor_frame = PersonaFrame(
                wants_to_speak=frame.unforced_text != padding,
                is_sounding=self._activity.is_voiced or frame.text != padding,
            )
        if self._is_muted:
            return SILENT
        return replace(self._floor_frame, has_line=self._lines.is_active)

    def people_started(self) -> None:
        """Note that a person began to speak."""
        self.go_on()
        self._turns.people_started()
        self._lines.hold(True)

    def people_ended(self, at_s: float) -> None:
        """Note that the people fell silent at `at_s`, by the loop's clock."""
        self._lines.hold(False)
        self._report_turn(self._turns.people_ended(at_s))

    def mute(self, is_muted: bool) -> None:
        """Silence the persona and drop its lines, or let it speak again; it always listens."""
        self._is_muted = is_muted
        self._update_hush()
        if is_muted:
            self._lines.drop_all()
            if self._occupant is not None:
                self._engine.drop_lines(self._occupant)

    def give_floor(self, has_floor: bool, *, is_shared: bool = True) -> None:
        """Let the persona speak or not; the room sees the holder of a floor that is shared."""
        self._has_floor = has_floor
        self._update_hush()
        if self._shows_floor != (shows_floor := has_floor and is_shared):
            self._shows_floor = shows_floor
            self._tasks.spawn(self._reporter.report_floor(shows_floor))

    def say(self, line: Line) -> Answer:
        """Say a line once the persona has the floor and pauses; or refuse, with the reason."""
        if self._occupant is None:
            return Answer(refusal="persona_absent", detail=f"{self.spec.label} has no slot.")
        if self._is_muted:
            detail = f"{self.spec.label} is muted. Unmute it first."
            return Answer(refusal="persona_muted", detail=detail)
        return self._lines.add(line)

    def withdraw(self, line_ids: Collection[str]) -> None:
        """Do not say these lines where they have not begun."""
        self._lines.withdraw(line_ids)

    def forget(self) -> None:
        """Start the model's memory anew, in the same slot, after the lines that wait."""
        self._backup.forget()
        self._lines.add_forget()

    def drop_backup(self) -> None:
        """Delete what is kept of the conversation up to now; the model remembers it."""
        self._backup.drop()

    @property
    def is_quiet(self) -> bool:
        """Whether it neither sounds nor says a word nor has a line to say."""
        has_words = self._rest_frames == 0 or self._lines.is_active
        return not (self._activity.is_voiced or has_words)

    async def stop(self, *, is_moved: bool = False) -> None:
        """Fade out, free the slot, publish the last words; another host says its lines or none."""
        await self._voice.fade_out()
        if self._occupant is not None:
            self._engine.leave(self._occupant)
            self._occupant = None
        if self._backup.close(self._lines.waiting) and is_moved:
            self._lines.hand_over()
        self._lines.drop_all()
        self._report_words(self._words.close())
        await self._reporter.aclose()

    async def leave(self) -> None:
        """Stop, and unpublish the voice."""
        await self.stop()
        await self._voice.unpublish()
        self._tasks.cancel()

    def _begin(self, recalled: Recalled | None) -> None:
        for line_id, text in recalled.lines if recalled is not None else ():
            self._lines.add(Line(line_id, text))

    def _take_slot(self, remembered: Remembered | None = None) -> Occupant:
        persona = self._backup.begin(self.spec, remembered)
        self._occupant = self._engine.join(
            persona, self._on_frame, self._on_slot_failed, remembered
        )
        self._is_hushed = False
        self._update_hush()
        return self._occupant

    def _update_hush(self) -> None:
        is_hushed = self._is_muted or not self._has_floor
        if is_hushed != self._is_hushed and self._occupant is not None:
            self._is_hushed = is_hushed
            self._engine.hush(self._occupant, is_hushed)

    def _on_frame(self, frame: SlotFrame) -> None:
        """Take a frame from the engine. Engine thread."""
        call_on_loop(self._loop, self._handle_frame, frame)

    def _on_slot_failed(self) -> None:
        """Note that the engine has given up the slot. Engine thread."""
        call_on_loop(self._loop, self._replace_slot)

    def _handle_frame(self, frame: SlotFrame) -> None:
        self._sound, self._new_frame = frame.pcm, frame
        self._to_record.put(frame.pcm)
        self._backup.take(frame.column, lambda: self._lines.waiting)
        self._voice.play(frame.pcm)
        self._frame_took_s = self._loop.time() - frame.arrived_s
        is_word = frame.text != self._engine.model.padding
        self._rest_frames = 0 if is_word else self._rest_frames + 1
        self._report_words(self._words.feed(frame.text, frame.index + self._frames_waited))
        if self._activity.push(frame.pcm):
            self._report_activity()

    def _replace_slot(self) -> None:
        """Take another slot, with a fresh memory, unless too many have failed."""
        if self._occupant is None:
            return
        self._occupant = None
        self._report_words(self._words.close())
        self._slots_failed += 1
        try:
            if self._slots_failed >= SLOTS_MOST:
                raise Full("its slots failed too often")
            self._take_slot()
            detail = "The persona had to start anew and has forgotten the conversation."
        except Full as error:
            detail = f"The persona cannot continue: {error}."
        self._lines.cut_off_current()
        self._reporter.warn("slot_failed", detail)

    def _give_line(self, line: Line) -> None:
        """Have the engine say a line; it reports the end on its own thread."""

        def on_ended(was_whole: bool) -> None:
            call_on_loop(self._loop, self._lines.end, line, was_whole)

        self.go_on()
        if self._occupant is None:
            self._lines.end(line, was_whole=False)
        else:
            self._engine.say(self._occupant, line.text, on_ended)

    def _forget_now(self) -> None:
        if self._occupant is not None:
            self._engine.forget(self._occupant)

    def _drop_unbegun_line(self) -> None:
        if self._occupant is not None:
            self._engine.drop_lines(self._occupant, unless_begun=True)

    def _on_line_ended(self, line: Line, was_whole: bool) -> None:
        if line.id:
            self._reporter.report_line_ended(line, was_whole)

    def _report_words(self, updates: list[SegmentUpdate]) -> None:
        for update in updates:
            self._reporter.report_words(update)
            if not update.is_final:
                self._on_words(update.text, self.identity)

    def _report_activity(self) -> None:
        if self._activity.is_speaking:
            self._report_turn(self._turns.persona_started(self._loop.time()))
            self._tasks.spawn(self._reporter.report_state("speaking"))
        else:
            self._turns.persona_paused()
            self._tasks.spawn(self._reporter.report_state("listening"))

    def _report_turn(self, latency_s: float | None) -> None:
        if latency_s is not None:
            self._tasks.spawn(self._reporter.report_turn(latency_s))
