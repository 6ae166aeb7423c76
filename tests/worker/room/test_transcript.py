"""A persona's words while its connection comes and goes; a stand-in replaces the room."""

from types import SimpleNamespace
from typing import Any

import pytest

from protocol import wire
from worker.room.persona import transcript
from worker.room.persona.transcript import Speaker, TranscriptPublisher
from worker.room.persona.words import SegmentUpdate

CHEF = Speaker("agent-chef", "TR_1", "chef", "p1")


class Stream:
    """A text stream that fails at its writes number `fails`, with what was written."""

    def __init__(self, room: "Room", attributes: dict[str, str]) -> None:
        self._room, self.attributes, self.text = room, attributes, ""

    async def write(self, text: str) -> None:
        """Write, unless this is a write that fails."""
        self._room.writes += 1
        if self._room.writes in self._room.fails:
            raise ConnectionError
        self.text += text

    async def aclose(self, *, attributes: dict[str, str]) -> None:
        """End the stream with these attributes."""
        self.attributes = attributes


class Room:
    """A stand-in for a room, with the streams that were opened in it."""

    def __init__(self, *fails: int) -> None:
        self.writes, self.fails = 0, fails
        self.streams: list[Stream] = []
        self.local_participant = SimpleNamespace(stream_text=self._open, publish_data=self._done)

    async def _open(self, *, attributes: dict[str, str], **_: Any) -> Stream:
        self.streams.append(Stream(self, attributes))
        return self.streams[-1]

    async def _done(self, *_: Any, **__: Any) -> None:
        pass


@pytest.mark.parametrize("fails", [(1,), (2,), (3,), (2, 3)])
async def test_a_segment_is_whole_though_a_piece_of_it_failed(
    monkeypatch: pytest.MonkeyPatch, fails: tuple[int, ...]
) -> None:
    """After a failed write the rest goes out in another stream, with the whole text."""
    monkeypatch.setattr(transcript.room_io, "_legacy_transcription_needed", lambda _: False)
    room: Any = Room(*fails)
    publisher = TranscriptPublisher(room, lambda _: None)
    text = ""
    for added in ("Dinner", " is", " ready"):
        text += added
        publisher.publish(CHEF, SegmentUpdate("SG_1", text, added, 0.0, 0.0))
    publisher.publish(CHEF, SegmentUpdate("SG_1", text, "", 0.0, 1.0, is_final=True))
    await publisher.aclose()

    last = room.streams[-1]
    assert last.text == "Dinner is ready"
    assert last.attributes[wire.ATTR_SEGMENT_FINAL] == "true"
