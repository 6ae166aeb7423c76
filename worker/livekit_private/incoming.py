"""Decides which messages of participants are read: typed lines, and sound that was recorded early.

`MessageFilter.accepts` runs on LiveKit's own thread, before any event loop wakes up: discarding a
message must cost next to nothing, however many there are.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

# Private; the package is pinned to an exact version.
from livekit.rtc._ffi_client import FfiClient, FfiHandle
from livekit.rtc._proto.ffi_pb2 import FfiRequest
from prometheus_client import Counter

from protocol import wire
from worker.allowance import Allowance
from worker.livekit_private.early_streams import EarlyStreams
from worker.loops import call_on_loop

LINES_AT_ONCE, LINES_PER_S = 10, 2  # typed by one person
OPEN_PER_PERSON = 4  # lines that have not ended yet
CALLS_AT_ONCE, CALLS_PER_S = 10, 1  # RPC; LiveKit answers each that no method is registered
# Discarded messages of one participant, since an app's own messages go through the room as well.
# One who sends more is removed: the native library keeps its part of a stream that never ends
# until the sender leaves, and each message takes the interpreter lock for 20 µs.
DISCARDED_AT_ONCE, DISCARDED_PER_S = 1_000, 100
TOO_LONG = "stream payload exceeds maximum size"  # the native library's words
CHUNK_COST = 0.1  # of a part of a stream, in messages: a large file has many

DISCARDED = Counter(
    "moshi_unread_messages", "Messages of participants that were not read", ["kind"]
)

# The room events that participants cause and nothing here reads, with their native handle.
_NATIVE_HANDLES: dict[str, Callable[[Any], int]] = {
    "byte_stream_opened": lambda event: event.reader.handle.id,
    "text_stream_opened": lambda event: event.reader.handle.id,
    "data_packet_received": lambda event: event.user.data.handle.id,
    "data_track_published": lambda event: event.track.handle.id,
    "stream_header_received": lambda _: 0,
    "stream_chunk_received": lambda _: 0,
    "stream_trailer_received": lambda _: 0,
    "transcription_received": lambda _: 0,
    "chat_message": lambda _: 0,
}


class _Sender:
    def __init__(self) -> None:
        self.lines = Allowance(LINES_AT_ONCE, LINES_PER_S)
        self.discarded = Allowance(DISCARDED_AT_ONCE, DISCARDED_PER_S)
        self.open_lines = 0
        self.is_flooding = False


def accepts_no_messages(event: Any) -> bool:
    """Accept room events of LiveKit itself; discard messages of participants."""
    return not _is_call(event) and not _discard(event)


def accepting_early_sound(early: EarlyStreams) -> Callable[[Any], bool]:
    """Return a filter that accepts as `accepts_no_messages`, after it looked for early sound."""

    def accepts(event: Any) -> bool:
        if not _is_call(event):
            early.take(event)
        return accepts_no_messages(event)

    return accepts


class MessageFilter:
    """Filters the messages of one room. All but `accepts` is called on the room's loop."""

    def __init__(
        self,
        on_line: Callable[[str, int], None],
        on_flood: Callable[[str], None],
        early: EarlyStreams,
    ) -> None:
        """`on_line(identity, handle)`: a line began; `read_text` reads it, `line_ended` ends it.

        `on_flood(identity)`: a participant has exceeded its allowance of discarded messages.
        """
        context = contextvars.copy_context()  # the job's; LiveKit's thread has none
        self._call = partial(call_on_loop, asyncio.get_running_loop(), context=context)
        self._on_line = on_line
        self._on_flood = on_flood
        self._early = early
        self._calls = Allowance(CALLS_AT_ONCE, CALLS_PER_S)
        self._senders: dict[str, _Sender] = {}
        self._lock = threading.Lock()

    def accepts(self, event: Any) -> bool:
        """Return whether the room is to get a room event or RPC. On LiveKit's thread."""
        with self._lock:
            if _is_call(event):
                return self._calls.take() or self._count("call", event.caller_identity)
            kind = event.WhichOneof("message")
            if kind not in _NATIVE_HANDLES:
                return True
            if self._early.take(event):
                return False
            message = getattr(event, kind)
            if kind == "text_stream_opened" and self._begins_line(message):
                self._call(self._on_line, message.participant_identity, message.reader.handle.id)
                return False
            _discard(event)
            return self._count(kind, getattr(message, "participant_identity", ""))

    def line_ended(self, identity: str) -> None:
        """Note that a participant's line was read or given up."""
        with self._lock:
            if identity in self._senders:
                self._senders[identity].open_lines -= 1

    def participant_left(self, identity: str) -> None:
        """Forget a participant's allowances."""
        with self._lock:
            self._senders.pop(identity, None)

    def _begins_line(self, opened: Any) -> bool:
        if opened.reader.info.topic != wire.CHAT_TOPIC:
            return False
        sender = self._senders.setdefault(opened.participant_identity, _Sender())
        if sender.open_lines >= OPEN_PER_PERSON or not sender.lines.take():
            return False
        sender.open_lines += 1
        return True

    def _count(self, kind: str, identity: str) -> bool:
        """Count a discarded message, report a flood once, and return False."""
        DISCARDED.labels(kind).inc()
        if identity:
            sender = self._senders.setdefault(identity, _Sender())
            cost = CHUNK_COST if kind == "stream_chunk_received" else 1.0
            if not sender.discarded.take(cost) and not sender.is_flooding:
                sender.is_flooding = True
                self._call(self._on_flood, identity)
        return False


async def read_text(handle: int) -> str | None:
    """Read a text stream whole; return "" if its sender broke it off, None if it is too long."""
    queue = FfiClient.instance.queue.subscribe()
    try:
        request = FfiRequest()
        request.text_read_all.reader_handle = handle
        request_id = FfiClient.instance.request(request).text_read_all.async_id
        event = await queue.wait_for(lambda e: e.text_stream_reader_read_all.async_id == request_id)
    finally:
        FfiClient.instance.queue.unsubscribe(queue)
    read = event.text_stream_reader_read_all
    return None if read.error.description == TOO_LONG else read.content


def _is_call(event: Any) -> bool:
    return hasattr(event, "invocation_id")


def _discard(event: Any) -> bool:
    """Release the native part of a participant's message; return False for any other event."""
    kind = event.WhichOneof("message")
    if kind not in _NATIVE_HANDLES:
        return False
    if handle := _NATIVE_HANDLES[kind](getattr(event, kind)):
        FfiHandle(handle).dispose()
    return True
