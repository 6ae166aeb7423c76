"""Collects what people recorded before a persona heard them: LiveKit's pre-connect buffer.

A client records from the click on and sends the recording as a byte stream to the first agent that
it sees (livekit-client 2.23.0 LocalParticipant.ts). The native library limits streams to 40 kB
(`native_events.STREAM_BYTES`), so the parts are collected here, within bounds of their own.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from livekit import rtc
from livekit.rtc._proto.track_pb2 import AudioTrackFeature  # private; the package is pinned

from protocol import wire
from worker.allowance import Allowance
from worker.loops import call_on_loop

MOST_BYTES = 1_000_000  # 10 s, the client's limit, of 16-bit samples at 48 kHz
STREAMS_AT_ONCE, STREAMS_PER_S = 3, 0.1  # of one person; each microphone that is published has one


def is_recorded_early(publication: rtc.RemoteTrackPublication) -> bool:
    """Return whether the client has recorded the track's sound from before it was published."""
    return AudioTrackFeature.TF_PRECONNECT_BUFFER in publication.audio_features


@dataclass(frozen=True, slots=True)
class EarlyRecording:
    """One person's recording as it was sent: nothing of it is checked."""

    identity: str
    track_sid: str
    mime_type: str
    attributes: dict[str, str]
    data: bytes


@dataclass(slots=True)
class _Stream:
    identity: str
    header: Any
    data: bytearray

    @property
    def track_sid(self) -> str:
        return self.header.attributes["trackId"]

    def add(self, data: bytes) -> bool:
        """Add the next part; return False where the stream is too long with it."""
        if len(self.data) + len(data) > MOST_BYTES:
            return False
        self.data += data
        return True

    def recording(self) -> EarlyRecording:
        header = self.header
        attributes = dict(header.attributes)
        return EarlyRecording(
            self.identity, self.track_sid, header.mime_type, attributes, bytes(self.data)
        )


class EarlyStreams:
    """The open recordings of one room: at most one for each person.

    `take` is called on LiveKit's threads, all else on the room's loop.
    """

    def __init__(
        self,
        on_opened: Callable[[str, str], None],
        on_recorded: Callable[[EarlyRecording], None],
        on_broken: Callable[[str, str, str], None],
    ) -> None:
        """`on_opened(identity, track_sid)`: a recording begins; then one of the others is called.

        `on_broken(identity, track_sid, reason)`: it is not to be used.
        """
        context = contextvars.copy_context()  # the job's; LiveKit's thread has none
        self._call = partial(call_on_loop, asyncio.get_running_loop(), context=context)
        self._on_opened, self._on_recorded, self._on_broken = on_opened, on_recorded, on_broken
        self._open: dict[str, _Stream] = {}  # by identity
        self._allowances: dict[str, Allowance] = {}  # by identity
        self._lock = threading.Lock()

    def take(self, event: Any) -> bool:
        """Take a room event; return whether it is a part of a recording."""
        kind = event.WhichOneof("message")
        if kind not in {
            "stream_header_received",
            "stream_chunk_received",
            "stream_trailer_received",
        }:
            return False
        message = getattr(event, kind)
        with self._lock:
            if kind == "stream_header_received":
                return self._begin(message.participant_identity, message.header)
            part = message.chunk if kind == "stream_chunk_received" else message.trailer
            stream = self._open.get(message.participant_identity)
            if stream is None or stream.header.stream_id != part.stream_id:
                return False
            self._go_on(stream, part, is_end=kind == "stream_trailer_received")
            return True

    def give_up(self, identity: str, track_sid: str) -> bool:
        """Collect a track's open recording no further; return whether there was one."""
        with self._lock:
            stream = self._open.get(identity)
            if stream is None or stream.track_sid != track_sid:
                return False
            del self._open[identity]
            return True

    def participant_left(self, identity: str) -> None:
        """Forget a person's recording and allowance."""
        with self._lock:
            self._open.pop(identity, None)
            self._allowances.pop(identity, None)

    def _begin(self, identity: str, header: Any) -> bool:
        if header.topic != wire.EARLY_SOUND_TOPIC or identity in self._open:
            return False
        allowance = self._allowances.setdefault(identity, Allowance(STREAMS_AT_ONCE, STREAMS_PER_S))
        if not allowance.take():
            return False
        kept = type(header)()
        kept.CopyFrom(header)
        stream = self._open[identity] = _Stream(identity, kept, bytearray())
        self._call(self._on_opened, identity, stream.track_sid)
        return True

    def _go_on(self, stream: _Stream, part: Any, *, is_end: bool) -> None:
        if not is_end and stream.add(part.content):
            return
        del self._open[stream.identity]
        if is_end and not part.reason:
            return self._call(self._on_recorded, stream.recording())
        reason = "the client broke it off" if is_end else f"it has more than {MOST_BYTES} bytes"
        self._call(self._on_broken, stream.identity, stream.track_sid, reason)
