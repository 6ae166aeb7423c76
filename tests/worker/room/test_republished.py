"""Words name the track that is published now: a track that is published again has another SID.

LiveKit publishes a persona's voice again after a lost connection, and clients do so with a
microphone. LiveKit's frontends look for a track's words by its SID. A stand-in replaces the room.
"""

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from protocol import wire
from protocol.personas import Persona
from protocol.room_spec import persona_specs
from worker.hearing.recogniser import HeardWords, OnWords
from worker.room.people_words import PeopleWords
from worker.room.persona import transcript
from worker.room.persona.reporter import PersonaReporter
from worker.room.persona.words import SegmentUpdate
from worker.sound.ears import Microphone

[CHEF] = persona_specs([Persona(name="chef", label="Chef")])
SOUND = np.full(3840, 0.1, dtype=np.float32)


class Room:
    """A stand-in for a room that notes the track of each text stream."""

    def __init__(self) -> None:
        self.tracks: list[str] = []
        self.remote_participants = {"ann": None}
        self.local_participant = SimpleNamespace(identity="agent-chef", stream_text=self._stream)

    def on(self, *_: Any) -> None:
        pass

    async def _stream(self, *, attributes: dict[str, str], **_: Any) -> Any:
        self.tracks.append(attributes[wire.ATTR_TRACK_ID])
        return SimpleNamespace(write=self._done, aclose=self._done)

    async def _done(self, *_: Any, **__: Any) -> None:
        pass


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a room in which every participant reads text streams."""
    monkeypatch.setattr(transcript.room_io, "_legacy_transcription_needed", lambda _: False)
    return Room()


async def published(room: Room, count: int) -> list[str]:
    """Wait until so many streams were published; return their tracks."""
    async with asyncio.timeout(5):
        while len(room.tracks) < count:  # noqa: ASYNC110 - the room tells nobody
            await asyncio.sleep(0.01)
    return room.tracks


async def test_words_of_a_voice_name_its_newest_track(room: Any) -> None:
    """After a voice was published again its words have the new SID."""
    publication: Any = SimpleNamespace(sid="TR_first")
    reporter = PersonaReporter(CHEF, room, lambda _: None)
    reporter.start_transcript(publication)
    reporter.report_words(SegmentUpdate("SG_1", "Soup", "Soup", 0.0, 0.0))
    await published(room, 1)
    publication.sid = "TR_second"
    reporter.report_words(SegmentUpdate("SG_1", "Soup", "", 0.0, 0.3, is_final=True))
    reporter.report_words(SegmentUpdate("SG_2", "Bread", "Bread", 1.0, 1.0))

    assert await published(room, 2) == ["TR_first", "TR_second"]
    await reporter.aclose()


async def test_words_of_a_microphone_name_its_newest_track(room: Any) -> None:
    """One listening goes on, and its later words have the new track's SID."""
    told: list[OnWords] = []

    def listen(on_words: OnWords, *_: Any) -> Any:
        told.append(on_words)
        return SimpleNamespace(push=lambda _: None, close=lambda: None)

    recogniser: Any = SimpleNamespace(open=listen)
    words = PeopleWords(room, recogniser, lambda _: None, lambda _: None)
    for sid in ("TR_first", "TR_second"):
        words.tick({Microphone("ann", sid): SOUND})
        told[0](HeardWords(f"SG_{sid}", "Hello.", False, 0.0, 0.5))
        await asyncio.sleep(0.01)

    assert await published(room, 2) == ["TR_first", "TR_second"]
    assert len(told) == 1
    await words.aclose(0.0)
