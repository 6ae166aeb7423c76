"""One remote track as 80 ms frames at WebRTC's own 48 kHz.

`rtc.AudioStream` (livekit 1.1.21 audio_stream.py) subscribes to all audio events of the process: 64
streams take a whole core to discard each other's. It also wakes the room's loop for each frame,
though the room takes frames at its ticks alone (docs/benchmarks.md).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from livekit import rtc
from livekit.rtc._ffi_client import FfiClient, FfiHandle  # private; pinned to an exact version
from livekit.rtc._proto import audio_frame_pb2, ffi_pb2

from worker.engine.arrays import Pcm
from worker.frames import TRACK_RATE_HZ, from_int16
from worker.livekit_private.native_events import native_events

FRAME_MS = 80


class TrackStream:
    """A native stream of one track that gives its frames, `[3840]` float32, to a function."""

    def __init__(self, track: rtc.Track, take: Callable[[Pcm], object]) -> None:
        """`take` is called on LiveKit's thread."""
        self._take = take
        request = ffi_pb2.FfiRequest()
        stream = request.new_audio_stream
        stream.track_handle = track._ffi_handle.handle  # pyright: ignore[reportPrivateUsage]
        stream.sample_rate = TRACK_RATE_HZ
        stream.num_channels = 1
        stream.frame_size_ms = FRAME_MS
        stream.queue_size_frames = 0
        stream.type = audio_frame_pb2.AudioStreamType.AUDIO_STREAM_NATIVE
        response = FfiClient.instance.request(request)
        self._handle = FfiHandle(response.new_audio_stream.stream.handle.id)
        native_events().add_listener("audio_stream_event", self._handle.handle, self._on_event)

    def close(self) -> None:
        """Take no more frames."""
        native_events().remove_listener("audio_stream_event", self._handle.handle)
        self._handle.dispose()

    def _on_event(self, event: Any) -> None:
        if event.audio_stream_event.HasField("frame_received"):
            owned = event.audio_stream_event.frame_received.frame
            frame = rtc.AudioFrame._from_owned_info(owned)  # pyright: ignore[reportPrivateUsage]
            self._take(from_int16(np.frombuffer(frame.data, dtype=np.int16)))
