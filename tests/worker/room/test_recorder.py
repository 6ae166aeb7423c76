"""Which sound and words of a room are recorded, and with which times."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from livekit import rtc

from protocol import wire
from protocol.events import Event, RecordingEvent, TranscriptEvent
from protocol.personas import Persona
from protocol.room_spec import RoomSpec, persona_specs
from worker.recording.mix import RoomFrame
from worker.recording.transcript import Segment
from worker.room.recorder import Recorder
from worker.sound.ears import Microphone

SPEC = RoomSpec(
    room="kitchen",
    generation=2,
    session="5e55",
    owner="key:shop",
    record=True,
    personas=persona_specs([Persona(name="chef", label="Chef", prompt="You cook.")]),
)
CHEF = {"persona_id": SPEC.personas[0].id, "persona": "chef", "identity": "agent-chef"}
SOUND = np.zeros(3840, dtype=np.float32)
WORDS = (wire.WordTime(text="Soup", start_s=1.0, end_s=1.4),)


def participant(name: str, kind: Any, **attributes: str) -> SimpleNamespace:
    """Return a participant as LiveKit's SDK represents it."""
    return SimpleNamespace(identity=name.lower(), name=name, kind=kind, attributes=attributes)


class Scene:
    """A recorder in a room of Ann, who has agreed, Carl, who has not, and another agent."""

    def __init__(self, consent: str) -> None:
        agreed = {wire.ATTR_RECORD_CONSENT: "true"}
        person, agent = rtc.ParticipantKind.Value("PARTICIPANT_KIND_STANDARD"), 4
        everybody = [
            participant("Ann", person, **agreed),
            participant("Carl", person),
            participant("Robot", agent, **agreed),
        ]
        self.people = {each.identity: each for each in everybody}
        self.shown: list[str] = []
        self.frames: list[RoomFrame] = []
        self.segments: list[Segment] = []
        self.events: list[Event] = []
        self.callbacks: list[Callable[..., None]] = []
        part = SimpleNamespace(put=self.frames.append, add=self.segments.append, close=lambda: None)

        def opened(_name: Any, _about: Any, *callbacks: Callable[..., None]) -> Any:
            self.callbacks = list(callbacks)
            return part

        recordings: Any = SimpleNamespace(consent=consent, open=opened)
        local = SimpleNamespace(set_attributes=self._show)
        events = dict.fromkeys(("on", "off"), lambda *_: None)
        room: Any = SimpleNamespace(
            remote_participants=self.people, local_participant=local, **events
        )
        self.recorder = Recorder(room, SPEC, recordings, self.events.append)

    async def _show(self, attributes: dict[str, str]) -> None:
        self.shown.append(attributes[wire.ATTR_RECORDING])

    def tick(self, ticks: int = 1) -> None:
        """Let all participants make sound for some ticks."""
        for _ in range(ticks):
            spoken = {Microphone(identity, "TR"): SOUND for identity in self.people}
            self.recorder.tick(spoken, [])

    def says(self, identity_: str, text: str, **fields: Any) -> None:
        """Pass on words of the recogniser or of a persona."""
        usual = {"at_s": 0.0, "segment_id": text, "final": True, "start_s": 1.0, "end_s": 1.4}
        event = usual | {"identity": identity_, "text": text} | fields
        self.recorder.take(TranscriptEvent.model_validate(event))


@pytest.mark.parametrize(("consent", "names"), [("ask", ["Ann"]), ("told", ["Ann", "Carl"])])
async def test_only_people_who_agreed_are_recorded(consent: str, names: list[str]) -> None:
    """Sound and words of people who agreed are recorded; with consent `told`, of all people."""
    scene = Scene(consent)
    scene.tick()
    for identity in scene.people:
        scene.says(identity, f"of {identity}")
        scene.says(identity, f"typed by {identity}", typed=True)
    assert len(scene.frames[0].people) == len(names)
    assert [each.name for each in scene.segments] == [name for name in names for _ in range(2)]


async def test_words_that_come_after_a_person_left_are_recorded() -> None:
    """Words that arrive after a person left are recorded if the person was."""
    scene = Scene("ask")
    scene.tick()
    scene.people.clear()
    scene.says("ann", "Goodbye")
    scene.says("carl", "Goodbye")
    assert [each.identity for each in scene.segments] == ["ann"]


async def test_a_person_who_withdraws_consent_is_recorded_no_longer() -> None:
    """A person whose consent attribute is removed in the call is not recorded from then on."""
    scene = Scene("ask")
    scene.tick()
    scene.people["ann"].attributes.clear()
    scene.tick()
    scene.says("ann", "Soup")
    assert [len(frame.people) for frame in scene.frames] == [1, 0]
    assert scene.segments == []


async def test_words_from_before_a_person_agreed_are_not_recorded() -> None:
    """Words are recognised after they were said: those said before the consent are left out."""
    scene = Scene("ask")
    scene.tick(25)
    scene.people["carl"].attributes[wire.ATTR_RECORD_CONSENT] = "true"
    scene.tick(25)
    said = [("I", 1.6), ("agree", 1.9), ("to", 2.1), ("that", 2.3)]
    words = [wire.WordTime(text=text, start_s=at, end_s=at + 0.1) for text, at in said]
    scene.says("carl", "Not for the record", start_s=1.0, end_s=1.5)
    scene.says("carl", "I agree to that", start_s=1.6, end_s=2.5)
    scene.says("carl", "I agree to that.", start_s=1.6, end_s=2.5, words=words)
    scene.says("carl", "Soup", start_s=3.0, end_s=3.4)
    assert [(each.text, each.start_s, each.end_s) for each in scene.segments] == [
        ("to that", 2.1, 2.5),
        ("Soup", 3.0, 3.4),
    ]
    assert [each.text for each in scene.segments[0].words] == ["to", "that"]


async def test_all_words_have_times_of_the_recording() -> None:
    """People's words keep their times; a persona's begin at the tick of their first word."""
    scene = Scene("ask")
    scene.tick(10)
    scene.says("ann", "Soup", words=WORDS)
    scene.says("agent-chef", "Din", **CHEF, segment_id="s", final=False, start_s=60.0, end_s=60.0)
    scene.tick(20)
    scene.says("agent-chef", "Dinner", **CHEF, segment_id="s", start_s=60.0, end_s=61.6)
    scene.says("ann", "Typed.", typed=True, start_s=0.0, end_s=0.0)
    assert [(each.name, each.start_s, each.end_s) for each in scene.segments] == [
        ("Ann", 1.0, 1.4),
        ("Chef", 0.8, 2.4),
        ("Ann", 2.4, 2.4),
    ]
    assert scene.segments[0].words == WORDS


async def test_a_persona_that_was_added_later_has_its_label() -> None:
    """A persona's words have its label, also if it came later or has left since."""
    scene = Scene("ask")
    (later,) = persona_specs([Persona(name="teacher", label="Ms Lee")])
    scene.recorder.apply_spec(SPEC.model_copy(update={"personas": (later,)}))
    scene.says("agent-teacher", "Good", persona="teacher", persona_id=later.id)
    scene.says("agent-chef", "Bye", **CHEF)

    assert [each.name for each in scene.segments] == ["Ms Lee", "Chef"]


async def test_a_worker_without_a_place_for_recordings_says_so() -> None:
    """A worker without `RECORD_DIR` ends the recording with an event that names the setting."""
    events: list[Event] = []
    room: Any = SimpleNamespace(remote_participants={})
    recorder = Recorder(room, SPEC, None, events.append)
    recorder.tick({}, [])
    recorder.close()
    [event] = events
    assert isinstance(event, RecordingEvent) and event.change == "ended"
    assert "RECORD_DIR" in event.detail


async def test_a_recording_that_starts_late_does_not_start_after_its_end() -> None:
    """Where the host has left before the files are there, nobody is told that it records."""
    scene = Scene("told")
    scene.recorder.close()
    scene.callbacks[0]()
    for _ in range(3):
        await asyncio.sleep(0)
    changes = [each.change for each in scene.events if isinstance(each, RecordingEvent)]
    assert (changes, scene.shown) == (["ended"], [])
