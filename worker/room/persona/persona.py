"""One persona in a room. Runs on its room's event loop.

A frame's way: `push_frame` gives the model what the persona hears (`PersonaSlot`); what it says
comes to `_handle_frame`, which plays it, and `next_sound` passes it to the other personas.
`give_floor` and `mute` hush the model, `say` and `forget` queue lines (`LineQueue`).
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

from livekit import rtc

from protocol.commands import Answer
from protocol.events import Event
from protocol.room_spec import PersonaSpec
from worker.background_tasks import BackgroundTasks
from worker.backup.backup import PersonaBackup, Recalled
from worker.engine.arrays import Pcm
from worker.engine.door import EngineDoor
from worker.engine.slots import SlotFrame
from worker.frames import SILENCE
from worker.room.floor import PersonaFrame
from worker.room.persona.lines import Line, LineQueue
from worker.room.persona.mind_wait import MindWait
from worker.room.persona.reporter import PersonaReporter
from worker.room.persona.slot import PersonaSlot
from worker.room.persona.standby import Standby
from worker.room.persona.words import SegmentUpdate, Words
from worker.sound.activity import TurnTimer, VoiceActivity
from worker.sound.ring import Ring
from worker.sound.voice import Voice

SILENT = PersonaFrame(wants_to_speak=False, is_sounding=False)
REST_FRAMES = 3  # without a word: the model has not begun to answer


class RoomPersona:
    """A persona that is connected to its room as a participant of its own.

    Its owner calls `start`, then `push_frame` once per tick, then `leave`.
    """

    def __init__(
        self,
        spec: PersonaSpec,
        room: rtc.Room,
        engine: EngineDoor,
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
        self._words = Words(engine.facts.pieces)
        self._activity = VoiceActivity()
        self._turns = TurnTimer()
        self._reporter = PersonaReporter(spec, room, emit)
        self._slot = PersonaSlot(spec, engine, backup, self._handle_frame, self._on_slot_failed)
        self._lines = LineQueue(
            spec,
            engine.facts.repertoire,
            self._give_line,
            self._slot.forget,
            partial(self._slot.drop_lines, unless_begun=True),
            self._on_line_ended,
        )
        self._tasks = BackgroundTasks("persona", spec.name)
        self._standby = Standby(self._slot, backup)
        self._said = Ring()  # every frame, also where two come in one tick
        self.sound: Pcm | None = None  # of this tick
        self._new_frame: SlotFrame | None = None  # since the last tick
        self._floor_frame = SILENT
        self._is_muted = False
        self._has_floor = has_floor
        self._shows_floor = False
        self._rest_frames = 0  # since the model's last word
        self._frame_took_s = 0.0  # from `push_frame` to `_handle_frame`
        self._mind_wait = MindWait()
        self._update_hush()

    @property
    def identity(self) -> str:
        """The identity of the persona's participant."""
        return self.room.local_participant.identity

    async def start(self, job_id: str) -> None:
        """Publish the voice, take a slot, report that the persona listens. Raises `Full`.

        What an earlier host has kept of it, it remembers, and it says what it had to say then.
        """
        self._reporter.start_transcript(await self._voice.publish())
        recalled = await self._backup.recall()
        self._slot.take(recalled and recalled.remembered, job_id)
        if recalled is None:
            self._lines.add_greeting()
        self._begin(recalled)
        await self._reporter.report_state("listening")

    @property
    def stands_by(self) -> bool:
        """Whether it is ready to take over from another host's persona."""
        return self._standby.is_on

    async def stand_by(self, job_id: str) -> None:
        """Publish the voice and take a slot; return once its memory is there. Raises `Full`."""
        self._reporter.start_transcript(await self._voice.publish())
        await self._standby.prepare(job_id)

    def play_silence(self) -> None:
        """Be silent for a frame, while another host's persona speaks."""
        self._voice.play(SILENCE)

    async def take_over(self) -> None:
        """Take over the conversation so far, and be the persona from the next frame on."""
        self._begin(await self._standby.finish())
        self.mute(self._is_muted)  # where it is, it says no line that the other host had to say
        self._tasks.spawn(self._reporter.report_taken_over())

    def push_frame(self, pcm: Pcm) -> None:
        """Give the model the sound that the persona hears in this tick, `[1920]` float32."""
        if self._mind_wait.takes():
            self._loop.call_later(self._frame_took_s, self._voice.play, SILENCE)
        else:
            self._slot.push(pcm)

    def wait_for_mind(self) -> None:
        """Let the model stand still until its mind has decided, unless it has begun to answer."""
        if self._rest_frames >= REST_FRAMES and not self._lines.is_active:
            self._mind_wait.begin()

    def go_on(self) -> None:
        """Let the model go on: the mind has decided, or a person speaks."""
        self._mind_wait.end()

    def next_sound(self) -> Pcm | None:
        """Return the persona's sound of this tick, `[1920]` float32, for all who hear it."""
        self.sound = self._said.take()
        return self.sound

    def floor_frame(self) -> PersonaFrame:
        """Return what the persona does in this tick; a late frame counts as unchanged."""
        frame, self._new_frame = self._new_frame, None
        if frame is not None:
            padding = self._engine.facts.padding
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
            self._slot.drop_lines()

    def give_floor(self, has_floor: bool, *, is_shared: bool = True) -> None:
        """Let the persona speak or not; the room sees the holder of a floor that is shared."""
        self._has_floor = has_floor
        self._update_hush()
        if self._shows_floor != (shows_floor := has_floor and is_shared):
            self._shows_floor = shows_floor
            self._tasks.spawn(self._reporter.report_floor(shows_floor))

    def say(self, line: Line) -> Answer:
        """Say a line once the persona has the floor and pauses; or refuse, with the reason."""
        if not self._slot.is_taken:
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
        self._slot.free()
        waiting = self._lines.waiting
        if not is_moved:  # those with an id are told as cut off
            waiting = tuple(line for line in waiting if not line[0])
        if self._backup.close(waiting) and is_moved:
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
        if self._backup.is_unreadable:
            self._reporter.warn("memory_unreadable", "The persona has forgotten the conversation.")
        for line_id, text in recalled.lines if recalled is not None else ():
            self._lines.add(Line(line_id, text))

    def _update_hush(self) -> None:
        self._slot.hush(self._is_muted or not self._has_floor)

    def _handle_frame(self, frame: SlotFrame) -> None:
        self._new_frame, text, index = frame, frame.text, frame.index + self._mind_wait.frames
        self._said.put(frame.pcm)
        self._backup.take(frame.column, lambda: self._lines.waiting)
        self._voice.play(frame.pcm)
        self._frame_took_s = self._loop.time() - frame.arrived_s
        self._rest_frames = self._rest_frames + 1 if text == self._engine.facts.padding else 0
        has_changed = self._activity.push(frame.pcm)
        self._report_words(self._words.feed(text, index, sounds=self._activity.is_voiced))
        if has_changed:
            self._report_activity()

    def _on_slot_failed(self, detail: str) -> None:
        """Go on in another slot, or without one: silent until that gives a frame."""
        self._floor_frame, self._new_frame, self._rest_frames = SILENT, None, REST_FRAMES
        if self._activity.stop():
            self._report_activity()
        self._report_words(self._words.close())
        self._lines.cut_off_current()
        self._reporter.warn("slot_failed", detail)

    def _give_line(self, line: Line) -> None:
        self.go_on()
        self._slot.say(line, self._lines.end)

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
