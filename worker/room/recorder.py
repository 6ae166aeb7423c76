"""Records one room: which sound and which words, and what the room is told. Room's event loop.

Recorded are the personas, and the people who have agreed (`ATTR_RECORD_CONSENT`), or all people
where `RECORD_CONSENT=told`: their microphones, their words, their typed lines. Other sound of the
room, as of shared screens and of other agents, is not recorded.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog
from livekit import rtc

from protocol import wire
from protocol.events import Event, RecordingEvent, TranscriptEvent
from protocol.recordings.names import new_part
from protocol.room_spec import RoomSpec
from worker.background_tasks import BackgroundTasks
from worker.engine.arrays import Pcm
from worker.frames import FRAME_S
from worker.livekit_private.attributes import set_attributes
from worker.loops import call_on_loop
from worker.recording.mix import RoomFrame
from worker.recording.part import PartWriter
from worker.recording.recordings import Recordings
from worker.recording.transcript import Segment
from worker.sound.audience import is_person
from worker.sound.ears import Microphone

log = structlog.get_logger(__name__)

NO_PLACE = "The worker has no place for recordings: RECORD_DIR and RECORD_S3_BUCKET are not set."


@dataclass(slots=True)
class _Person:
    name: str
    since_s: float  # by the recording's clock


class Recorder:
    """The recording of one room, from its host's first tick until the host leaves."""

    def __init__(
        self,
        room: rtc.Room,
        spec: RoomSpec,
        recordings: Recordings | None,
        emit: Callable[[Event], None],
    ) -> None:
        """Start to record; without `recordings` tell the room that this is not possible."""
        self._room, self._emit = room, emit
        self._labels: dict[str, str] = {}  # of personas, by id
        self.apply_spec(spec)
        self._loop = asyncio.get_running_loop()
        self._tasks = BackgroundTasks("recorder", spec.room)
        self._ticks = 0
        self._began_s: dict[str, float] = {}  # of personas' open segments, by id
        self._people: dict[str, _Person] = {}  # who are recorded, or were until they left
        now_s = time.time()
        self._name = new_part(spec.owner, spec.session, spec.generation, now_s)
        self._part: PartWriter | None = None
        self._records_all = recordings is not None and recordings.consent == "told"
        if recordings is None:
            self._emit_change("ended", NO_PLACE)
            log.warning("recording_impossible", reason=NO_PLACE)
        else:
            about = {
                "session": spec.session,
                "room": spec.room,
                "owner": spec.owner,
                "part": self._name.part,
                "started_s": now_s,
                "left": "people",
                "right": "personas",
                "consent": recordings.consent,
            }
            self._part = recordings.open(
                self._name,
                about,
                lambda: call_on_loop(self._loop, self._started),
                lambda reason: call_on_loop(self._loop, self._failed, reason),
            )

    def apply_spec(self, spec: RoomSpec) -> None:
        """Take the room's personas as they are now; those who have left keep their labels."""
        self._labels |= {each.id: each.label for each in spec.personas}

    def tick(self, spoken: Mapping[Microphone, Pcm], voices: Iterable[Pcm]) -> None:
        """Take what microphones gave in this tick, `[3840]` at 48 kHz, and voices, `[1920]`."""
        self._ticks += 1
        if self._part is not None:
            people = tuple(pcm for mic, pcm in spoken.items() if self._may_record(mic.identity))
            self._part.put(RoomFrame(people, tuple(voices)))

    def take(self, event: Event) -> None:
        """Take words from the room's events."""
        if self._part is None or not isinstance(event, TranscriptEvent):
            return
        if event.persona_id:
            self._take_personas(event)
        elif event.final and self._may_record(event.identity):
            self._take_persons(event)

    def close(self) -> None:
        """End the recording; its thread writes the rest."""
        if self._part is not None:
            self._part.close()
            self._part = None
            self._emit_change("ended")
        self._tasks.cancel()

    @property
    def _now_s(self) -> float:
        return round(self._ticks * FRAME_S, 3)

    def _take_persons(self, event: TranscriptEvent) -> None:
        """Take a person's words, but for those from before it was recorded: they come late."""
        person, now_s = self._people[event.identity], self._now_s
        if event.typed:
            self._add(event, person.name, now_s, now_s)
        elif event.start_s >= person.since_s:
            self._add(event, person.name, event.start_s, event.end_s)
        elif words := tuple(each for each in event.words if each.start_s >= person.since_s):
            text = " ".join(each.text for each in words)
            event = event.model_copy(update={"text": text, "words": words})
            self._add(event, person.name, words[0].start_s, event.end_s)

    def _take_personas(self, event: TranscriptEvent) -> None:
        """Take a persona's words; its clock is another one, so the first of them tell the time."""
        start_s = self._began_s.setdefault(event.segment_id, self._now_s)
        if event.final:
            del self._began_s[event.segment_id]
            name = self._labels.get(event.persona_id, event.persona)
            self._add(event, name, start_s, round(start_s + event.end_s - event.start_s, 3))

    def _add(self, event: TranscriptEvent, name: str, start_s: float, end_s: float) -> None:
        assert self._part is not None, "only while it records"
        self._part.add(
            Segment(
                start_s,
                end_s,
                event.identity,
                name,
                event.persona,
                event.text,
                event.typed,
                event.words,
            )
        )

    def _may_record(self, identity: str) -> bool:
        """Return whether a person is recorded; of one who has left, whether it was."""
        person = self._room.remote_participants.get(identity)
        if person is None:
            return identity in self._people
        agreed = person.attributes.get(wire.ATTR_RECORD_CONSENT) == "true"
        if is_person(person) and (self._records_all or agreed):
            since_s = round(max(0.0, self._now_s - FRAME_S), 3)  # with the frame of this tick
            known = self._people.setdefault(identity, _Person("", since_s))
            known.name = person.name or identity
            return True
        self._people.pop(identity, None)
        return False

    def _started(self) -> None:
        if self._part is None:  # the host has left before
            return
        log.info("recording_started", part=self._name.part)
        self._emit_change("started")
        self._tasks.spawn(self._show(True))

    def _failed(self, reason: str) -> None:
        """Go on without a recording: its disk is full, or it cannot be written."""
        if self._part is not None:
            self._part = None
            self._emit_change("ended", f"The recording ended: {reason}.")
            self._tasks.spawn(self._show(False))

    async def _show(self, is_on: bool) -> None:
        value = "true" if is_on else ""
        await set_attributes(self._room, {wire.ATTR_RECORDING: value})

    def _emit_change(self, change: str, detail: str = "") -> None:
        fields = {"at_s": time.time(), "change": change, "part": self._name.part, "detail": detail}
        self._emit(RecordingEvent.model_validate(fields))
