"""One remote track as 80 ms frames at WebRTC's own 48 kHz.

`rtc.AudioStream` (livekit 1.1.21 audio_stream.py) subscribes to all audio events of the process: 64
streams take a whole core to discard each other's (docs/benchmarks.md).
"""

from typing import Any

from livekit import rtc
from livekit.rtc._utils import Queue  # private; the package is pinned to an exact version

from worker.frames import TRACK_RATE_HZ
from worker.livekit_private.native_events import Route, native_events

FRAME_MS = 80
QUEUE_FRAMES = 3


class TrackStream(rtc.AudioStream):
    """An `rtc.AudioStream` of 48 kHz mono 80 ms frames that gets its own events only."""

    def __init__(self, track: rtc.Track) -> None:
        super().__init__(
            track,
            capacity=QUEUE_FRAMES,
            sample_rate=TRACK_RATE_HZ,
            num_channels=1,
            frame_size_ms=FRAME_MS,
        )
        # The base class reads its queue only once its task runs, so the swap loses nothing.
        native_events().unsubscribe(self._ffi_queue)
        self._ffi_queue = Queue[Any]()
        route = Route(self._loop, self._ffi_queue)
        native_events().add_audio_stream(self._ffi_handle.handle, route)

    async def aclose(self) -> None:
        await super().aclose()
        native_events().unsubscribe(self._ffi_queue)
