"""What participants send into a room beside sound, and how much of it is looked at.

`wants` runs on the SDK's own thread, before any loop of ours wakes up: what is not read here must
cost next to nothing, however much of it comes. Only typed lines are read.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any

from livekit.rtc._ffi_client import FfiHandle  # private; the package is pinned to an exact version
from prometheus_client import Counter

from protocol import wire
from worker.allowance import Allowance

LINES_AT_ONCE, LINES_PER_S = 10, 2  # typed by one person
OPEN_PER_PERSON = 4  # lines that have not ended yet
CALLS_AT_ONCE, CALLS_PER_S = 10, 1  # RPC; none is offered, which is what they are answered
# Messages that are not read, of one participant: an app's own go through the room as well. Beyond,
# it is removed: of a stream that never ends, the native library keeps its part until its sender
# leaves, and each message takes the interpreter lock for 20 µs.
UNREAD_AT_ONCE, UNREAD_PER_S = 1_000, 100
CHUNK_COSTS = 0.1  # a part of a stream, against a message: large files are sent in many

UNREAD = Counter("moshi_unread_messages", "Messages of participants that were not read", ["kind"])

# The fields of room events that nothing here reads, and what of the native library's they hold.
_DROPPED: dict[str, Callable[[Any], Any]] = {
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


class Sender:
    """How much one participant may still send."""

    def __init__(self) -> None:
        self.lines = Allowance(LINES_AT_ONCE, LINES_PER_S)
        self.unread = Allowance(UNREAD_AT_ONCE, UNREAD_PER_S)
        self.open = 0
        self.is_flooding = False


def read_nothing(event: Any) -> bool:
    """Want what LiveKit itself tells a connection, and nothing that participants send to it."""
    if hasattr(event, "invocation_id"):  # an RPC
        return False
    return not _drop(event)


def _drop(event: Any) -> bool:
    """Give back what a message holds natively; False where it is none that participants send."""
    kind = event.WhichOneof("message")
    holds = _DROPPED.get(kind)
    if holds is None:
        return False
    if handle := holds(getattr(event, kind)):
        FfiHandle(handle).dispose()
    return True


class Incoming:
    """The messages of one room's participants. All but `wants` is called on the room's loop."""

    def __init__(
        self, on_line: Callable[[str, int], None], on_flood: Callable[[str], None]
    ) -> None:
        """`on_line(identity, handle)`: a line was begun, to be read and then `ended(identity)`.

        `on_flood(identity)`: one participant sends far more than anybody reads.
        """
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()  # the SDK's thread has none of the job's
        self._on_line = on_line
        self._on_flood = on_flood
        self._calls = Allowance(CALLS_AT_ONCE, CALLS_PER_S)
        self._senders: dict[str, Sender] = {}
        self._lock = threading.Lock()

    def wants(self, event: Any) -> bool:
        """Decide about a room event or an RPC invocation. On the SDK's thread."""
        with self._lock:
            if hasattr(event, "invocation_id"):
                return self._calls.take() or self._unread("call", event.caller_identity)
            kind = event.WhichOneof("message")
            if kind not in _DROPPED:
                return True
            message = getattr(event, kind)
            if kind == "text_stream_opened" and self._begins_line(message):
                self._tell(self._on_line, message.participant_identity, message.reader.handle.id)
                return False
            _drop(event)
            return self._unread(kind, getattr(message, "participant_identity", ""))

    def ended(self, identity: str) -> None:
        """A line that was begun has ended, or was given up."""
        with self._lock:
            if identity in self._senders:
                self._senders[identity].open -= 1

    def left(self, identity: str) -> None:
        """A participant has left."""
        with self._lock:
            self._senders.pop(identity, None)

    def _begins_line(self, opened: Any) -> bool:
        if opened.reader.info.topic != wire.CHAT_TOPIC:
            return False
        sender = self._senders.setdefault(opened.participant_identity, Sender())
        if sender.open >= OPEN_PER_PERSON or not sender.lines.take():
            return False
        sender.open += 1
        return True

    def _unread(self, kind: str, identity: str) -> bool:
        """Count a message that is not read; always False."""
        UNREAD.labels(kind).inc()
        if identity:
            sender = self._senders.setdefault(identity, Sender())
            cost = CHUNK_COSTS if kind == "stream_chunk_received" else 1.0
            if not sender.unread.take(cost) and not sender.is_flooding:
                sender.is_flooding = True
                self._tell(self._on_flood, identity)
        return False

    def _tell(self, call: Callable[..., None], *about: str | int) -> None:
        with contextlib.suppress(RuntimeError):  # the room has ended
            self._loop.call_soon_threadsafe(call, *about, context=self._context)
