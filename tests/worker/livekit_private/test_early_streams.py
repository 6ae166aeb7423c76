"""Recordings of people who spoke before they were heard: collected whole, bounded, one a person."""

import asyncio
from typing import Any

from livekit.rtc._proto import room_pb2

from protocol import wire
from worker.livekit_private.early_streams import (
    MOST_BYTES,
    STREAMS_AT_ONCE,
    EarlyRecording,
    EarlyStreams,
)


class Told:
    """The streams of one room, and what was told of them."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, str]] = []
        self.recorded: list[EarlyRecording] = []
        self.broken: list[str] = []
        self.streams = EarlyStreams(
            lambda *opened: self.opened.append(opened),
            self.recorded.append,
            lambda identity, _: self.broken.append(identity),
        )

    def begin(
        self, stream: str = "s", who: str = "ann", topic: str = wire.EARLY_SOUND_TOPIC
    ) -> bool:
        event = room_pb2.RoomEvent()
        event.stream_header_received.participant_identity = who
        header = event.stream_header_received.header
        header.stream_id, header.topic, header.mime_type = stream, topic, "audio/webm"
        header.attributes["trackId"] = "TR_ann"
        return self.streams.take(event)

    def add(self, data: bytes, stream: str = "s", who: str = "ann") -> bool:
        event = room_pb2.RoomEvent()
        event.stream_chunk_received.participant_identity = who
        chunk = event.stream_chunk_received.chunk
        chunk.stream_id, chunk.content = stream, data
        return self.streams.take(event)

    def end(self, stream: str = "s", who: str = "ann", reason: str = "") -> bool:
        event = room_pb2.RoomEvent()
        event.stream_trailer_received.participant_identity = who
        trailer = event.stream_trailer_received.trailer
        trailer.stream_id, trailer.reason = stream, reason
        return self.streams.take(event)


async def test_a_recording_is_collected_whole() -> None:
    """Its parts come together in their order, with the header's words about it."""
    told = Told()
    taken: list[Any] = [told.begin(), told.add(b"ab"), told.add(b"cd"), told.end()]
    await asyncio.sleep(0)

    assert taken == [True] * 4
    assert told.opened == [("ann", "TR_ann")]
    assert told.recorded == [
        EarlyRecording("ann", "TR_ann", "audio/webm", {"trackId": "TR_ann"}, b"abcd")
    ]


async def test_only_recordings_are_taken() -> None:
    """Streams of other topics, and parts of a stream that did not begin so, are left to others."""
    told = Told()

    assert not told.begin(topic="files")
    assert not told.add(b"x")
    assert not told.end()
    assert told.begin()
    assert not told.add(b"x", who="ben")
    assert not told.add(b"x", stream="t")


async def test_a_recording_is_bounded() -> None:
    """Too long or broken off: it is told as broken, and the rest is not taken."""
    told = Told()
    half = b"x" * (MOST_BYTES // 2 + 1)
    long = [told.begin(), told.add(half), told.add(half), told.add(half), told.end()]
    broken_off = [told.begin(), told.end(reason="gone")]
    await asyncio.sleep(0)

    assert long == [True, True, True, False, False]
    assert broken_off == [True, True]
    assert told.broken == ["ann"] * 2
    assert told.recorded == []


async def test_a_person_has_one_open_recording_and_few_in_all() -> None:
    """What one person begins beyond takes no memory, and no other person's place."""
    told = Told()
    assert told.begin("a")
    assert not told.begin("b")
    assert told.begin("b", who="ben")
    for _ in range(STREAMS_AT_ONCE - 1):
        told.end("a")
        assert told.begin("a")
    told.end("a")
    assert not told.begin("a")


async def test_one_that_does_not_end_is_given_up() -> None:
    """Given up or left by its person, it is over; another track's name ends nothing."""
    told = Told()
    told.begin()

    assert not told.streams.give_up("ann", "TR_other")
    assert told.streams.give_up("ann", "TR_ann")
    assert not told.end()
    told.begin()
    told.streams.participant_left("ann")
    assert not told.end()
