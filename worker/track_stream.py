"""One remote track as 80 ms frames at WebRTC's own 48 kHz, without the SDK's quadratic cost.

`rtc.AudioStream` (livekit 1.1.21 audio_stream.py) subscribes to the process's event queue with a
filter by type, so each audio event of any track is handed to every stream's event loop: 64 streams
take a whole core (docs/benchmarks.md). Here one subscription for the process looks the handle up
and hands the event to the one stream that it belongs to.
"""

import asyncio
import threading
from typing import Any

from livekit import rtc
from livekit.rtc._ffi_client import (
    FfiClient,
    FfiQueue,
)  # private; the package is pinned to an exact version
from livekit.rtc._utils import Queue  # private, as above

SAMPLE_RATE_HZ = 48_000  # as WebRTC has it: any other is resampled badly (worker/resample.py)
FRAME_MS = 80
QUEUE_FRAMES = 3


class AudioEvents:
    """Routes a queue's audio events to streams by handle. `route` runs on the SDK's own thread."""

    def __init__(self, source: "FfiQueue[Any] | None" = None) -> None:
        self._source = source  # None: the SDK's own, which exists from its first use on
        self._streams: dict[int, tuple[asyncio.AbstractEventLoop, Queue[Any]]] = {}
        self._lock = threading.Lock()
        self._subscribed = False

    def add(self, handle: int, loop: asyncio.AbstractEventLoop, queue: Queue[Any]) -> None:
        """Send the events of a stream to its queue on its loop. Any thread."""
        with self._lock:
            # Replaced and never changed in place, so that `route` may read it without the lock.
            self._streams = self._streams | {handle: (loop, queue)}
            if not self._subscribed:
                self._subscribed = True
                (self._source or FfiClient.instance.queue).subscribe(loop, filter_fn=self.route)

    def remove(self, handle: int) -> None:
        """Forget a stream. Any thread."""
        with self._lock:
            self._streams = {key: to for key, to in self._streams.items() if key != handle}

    def route(self, event: Any) -> bool:
        """Hand an event to its stream; False keeps the SDK from queueing it a second time."""
        target = self._streams.get(event.audio_stream_event.stream_handle)
        if target is not None:
            loop, queue = target
            try:
                loop.call_soon_threadsafe(queue.put_nowait, event)
            except RuntimeError:  # the job's loop is closed; an error here would reach every stream
                self.remove(event.audio_stream_event.stream_handle)
        return False


_events = AudioEvents()


class TrackStream(rtc.AudioStream):
    """An `rtc.AudioStream` of 48 kHz mono 80 ms frames that gets its own events only."""

    def __init__(self, track: rtc.Track) -> None:
        super().__init__(
            track,
            capacity=QUEUE_FRAMES,
            sample_rate=SAMPLE_RATE_HZ,
            num_channels=1,
            frame_size_ms=FRAME_MS,
        )
        # The base class reads its queue only once its task runs, so the swap loses nothing.
        FfiClient.instance.queue.unsubscribe(self._ffi_queue)
        self._ffi_queue = Queue[Any]()
        self._stream_handle = self._ffi_handle.handle
        _events.add(self._stream_handle, self._loop, self._ffi_queue)

    async def aclose(self) -> None:
        """Close the stream and stop its events."""
        await super().aclose()
        _events.remove(self._stream_handle)
