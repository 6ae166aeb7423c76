"""How clients' recordings of early speech are collected: whole, bounded, one per person."""

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


class StreamLog:
    """The streams of one room, and a log of the calls that they made."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, str]] = []
        self.recorded: list[EarlyRecording] = []
        self.broken: list[str] = []
        self.streams = EarlyStreams(
            lambda *opened: self.opened.append(opened),
            self.recorded.append,
            lambda identity, *_: self.broken.append(identity),
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
    """A recording has its chunks in order, and the type and attributes of its header."""
    log = StreamLog()
    taken: list[Any] = [log.begin(), log.add(b"ab"), log.add(b"cd"), log.end()]
    await asyncio.sleep(0)

    assert taken == [True] * 4
    assert log.opened == [("ann", "TR_ann")]
    assert log.recorded == [
        EarlyRecording("ann", "TR_ann", "audio/webm", {"trackId": "TR_ann"}, b"abcd")
    ]


async def test_only_recordings_are_taken() -> None:
    """Streams of other topics, and chunks that belong to no open recording, are not taken."""
    log = StreamLog()

    assert not log.begin(topic="files")
    assert not log.add(b"x")
    assert not log.end()
    assert log.begin()
    assert not log.add(b"x", who="ben")
    assert not log.add(b"x", stream="t")


async def test_a_recording_is_bounded() -> None:
    """A recording that is too long or was broken off is reported as broken and not delivered."""
    log = StreamLog()
    half = b"x" * (MOST_BYTES // 2 + 1)
    long = [log.begin(), log.add(half), log.add(half), log.add(half), log.end()]
    broken_off = [log.begin(), log.end(reason="gone")]
    await asyncio.sleep(0)

    assert long == [True, True, True, False, False]
    assert broken_off == [True, True]
    assert log.broken == ["ann"] * 2
    assert log.recorded == []


async def test_a_person_has_one_open_recording_and_few_in_all() -> None:
    """A person may have one open recording, and few in all; another person's count is separate."""
    log = StreamLog()
    assert log.begin("a")
    assert not log.begin("b")
    assert log.begin("b", who="ben")
    for _ in range(STREAMS_AT_ONCE - 1):
        log.end("a")
        assert log.begin("a")
    log.end("a")
    assert not log.begin("a")


async def test_a_recording_is_over_once_it_is_given_up_or_its_person_leaves() -> None:
    """After `give_up` for its track, or after its person left, a recording takes no more."""
    log = StreamLog()
    log.begin()

    assert not log.streams.give_up("ann", "TR_other")
    assert log.streams.give_up("ann", "TR_ann")
    assert not log.end()
    log.begin()
    log.streams.participant_left("ann")
    assert not log.end()
