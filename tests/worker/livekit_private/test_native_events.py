"""How native events reach the queue that waits, and participants' messages are limited."""

import asyncio
from typing import Any

from livekit.rtc._ffi_client import FfiQueue
from livekit.rtc._proto import ffi_pb2, room_pb2
from livekit.rtc._utils import Queue

from protocol import wire
from worker.allowance import Allowance
from worker.livekit_private.early_streams import EarlyStreams
from worker.livekit_private.incoming import (
    DISCARDED_AT_ONCE,
    LINES_AT_ONCE,
    OPEN_PER_PERSON,
    MessageFilter,
    accepts_no_messages,
)
from worker.livekit_private.native_events import STREAM_BYTES, NativeEvents


def answer(request_id: int) -> Any:
    """Return the native library's answer to a frame that was captured."""
    event = ffi_pb2.FfiEvent()
    event.capture_audio_frame.async_id = request_id
    return event


def sound(handle: int) -> Any:
    """Return an event of an audio stream."""
    event = ffi_pb2.FfiEvent()
    event.audio_stream_event.stream_handle = handle
    event.audio_stream_event.eos.SetInParent()
    return event


def opened(topic: str, identity: str = "ann") -> Any:
    """Return the event of a text stream that began; nothing of it is in the native library."""
    event = room_pb2.RoomEvent()
    event.text_stream_opened.participant_identity = identity
    event.text_stream_opened.reader.info.topic = topic
    return event


async def contents(queue: "Queue[Any]") -> list[Any]:
    """Return what is in a queue after the loop has run once."""
    await asyncio.sleep(0)
    return [queue.get_nowait() for _ in range(queue.qsize())]


def capture(events: NativeEvents, request_id: int, early: bool = False) -> "Queue[Any]":
    """Ask as `AudioSource.capture_frame` does; `early`: the answer comes before the response."""

    def send(_: Any) -> Any:
        if early:
            events.put(answer(request_id))
        response = ffi_pb2.FfiResponse()
        response.capture_audio_frame.async_id = request_id
        return response

    queue = events.subscribe()
    request = ffi_pb2.FfiRequest()
    request.capture_audio_frame.source_handle = 1
    events.wrap_request(send)(request)
    return queue


async def test_an_answer_goes_only_to_the_queue_that_asked() -> None:
    """Of two queues that wait, each gets the answer to its own request only."""
    events = NativeEvents()
    first, second = capture(events, 1), capture(events, 2)
    events.put(answer(2))
    events.put(answer(1))

    assert [each.capture_audio_frame.async_id for each in await contents(first)] == [1]
    assert [each.capture_audio_frame.async_id for each in await contents(second)] == [2]


async def test_an_answer_that_is_quicker_than_the_response_is_not_lost() -> None:
    """An answer that the native library sends before its request returns is delivered."""
    queue = capture(NativeEvents(), 7, early=True)

    assert [each.capture_audio_frame.async_id for each in await contents(queue)] == [7]


async def test_sound_goes_only_to_its_own_open_stream() -> None:
    """Only the stream itself gets its sound, at once, and only until it is closed."""
    events, own, other = NativeEvents(), list[Any](), list[Any]()
    events.add_listener("audio_stream_event", 1, own.append)
    events.add_listener("audio_stream_event", 2, other.append)
    general = FfiQueue.subscribe(events, asyncio.get_running_loop())
    events.put(sound(1))

    assert (len(own), len(other), len(await contents(general))) == (1, 0, 0)
    events.remove_listener("audio_stream_event", 1)
    events.put(sound(1))
    assert len(own) == 1


async def test_every_connection_limits_the_size_of_streams() -> None:
    """A request to connect names `STREAM_BYTES` as the most that one stream may hold."""
    asked: list[Any] = []

    def send(request: Any) -> Any:
        asked.append(request)
        response = ffi_pb2.FfiResponse()
        response.connect.async_id = 1
        return response

    request = ffi_pb2.FfiRequest()
    request.connect.url = "ws://127.0.0.1"
    NativeEvents().wrap_request(send)(request)

    limit = asked[0].connect.options.data_stream.max_payload_byte_length
    assert limit == STREAM_BYTES


class TestIncoming:
    """Which messages of participants are read."""

    def incoming(self) -> tuple[MessageFilter, list[str], list[str]]:
        """Return a filter, with lists of whose lines began and of who flooded."""
        begun: list[str] = []
        flooded: list[str] = []
        early = EarlyStreams(lambda *_: None, lambda _: None, lambda *_: None)
        return (
            MessageFilter(lambda who, _: begun.append(who), flooded.append, early),
            begun,
            flooded,
        )

    async def test_a_person_has_a_few_open_lines(self) -> None:
        """One person's open lines are limited, and do not count against another person."""
        incoming, begun, _ = self.incoming()
        for _ in range(50):
            assert not incoming.accepts(opened(wire.CHAT_TOPIC))
        incoming.accepts(opened(wire.CHAT_TOPIC, "ben"))
        await asyncio.sleep(0)

        assert begun == ["ann"] * OPEN_PER_PERSON + ["ben"]

    async def test_a_person_has_a_few_lines_a_second(self) -> None:
        """Lines that end at once are limited in their rate."""
        incoming, begun, _ = self.incoming()
        for _ in range(200):
            before = len(begun)
            incoming.accepts(opened(wire.CHAT_TOPIC))
            await asyncio.sleep(0)
            if len(begun) > before:
                incoming.line_ended("ann")

        assert LINES_AT_ONCE <= len(begun) <= LINES_AT_ONCE + 10

    async def test_a_flood_is_reported_once(self) -> None:
        """A participant whose unread messages exceed the allowance is reported one time."""
        incoming, _, flooded = self.incoming()
        for _ in range(DISCARDED_AT_ONCE // 2):
            incoming.accepts(opened("an app's own"))
        await asyncio.sleep(0)
        early = list(flooded)
        for _ in range(4 * DISCARDED_AT_ONCE):
            incoming.accepts(opened("unknown"))
        await asyncio.sleep(0)

        assert (early, flooded) == ([], ["ann"])

    async def test_events_of_livekit_itself_pass(self) -> None:
        """Events of the room itself are accepted, also by the filter that reads no messages."""
        incoming, _, _ = self.incoming()
        event = room_pb2.RoomEvent()
        event.participant_connected.SetInParent()

        assert incoming.accepts(event)
        assert accepts_no_messages(event)
        assert not accepts_no_messages(opened(wire.CHAT_TOPIC))


def test_an_allowance_fills_up_again() -> None:
    """An allowance gives its burst, then its rate, and never saves up more than the burst."""
    now = [0.0]
    allowance = Allowance(2, 0.5, clock=lambda: now[0])
    at_once = [allowance.take() for _ in range(3)]
    now[0] = 2.0
    later = [allowance.take() for _ in range(2)]
    now[0] = 1_000.0
    much_later = [allowance.take() for _ in range(3)]

    assert at_once == much_later == [True, True, False]
    assert later == [True, False]
