"""The sound of a published track, handed to LiveKit without a wake of the room's loop per frame.

`rtc.AudioSource.capture_frame` (livekit 1.1.21 audio_source.py) subscribes to the answer to each
frame, starts a timer and wakes the loop: with `TrackStream`'s wakes a quarter of what a room costs
the interpreter (docs/benchmarks.md).
"""

import itertools
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog
from livekit import rtc
from livekit.rtc._ffi_client import FfiClient  # private; the package is pinned to an exact version
from livekit.rtc._proto import ffi_pb2

from worker.livekit_private.native_events import native_events

log = structlog.get_logger(__name__)

_answer_ids = itertools.count(2**40)  # far above those that the native library counts


class AudioSink(rtc.AudioSource):
    """An `rtc.AudioSource` of mono sound that takes one frame at a time. Called from one thread."""

    def __init__(self, rate_hz: int, queue_ms: int) -> None:
        super().__init__(rate_hz, 1, queue_size_ms=queue_ms)
        self.is_busy = False  # until LiveKit has taken the last frame
        self._dry_at_s = 0.0  # when all that was sent has been played
        self._answer_id = next(_answer_ids)
        native_events().add_listener("answer", self._answer_id, self._on_answer)

    @property
    def queued_duration(self) -> float:
        """The seconds of sound that wait to be played."""
        return max(self._dry_at_s - time.monotonic(), 0.0)

    def send(self, samples: npt.NDArray[np.int16]) -> None:
        """Queue `[n]` samples, unless it is closed. LiveKit copies them before this returns."""
        if self._ffi_handle.disposed:
            return
        self.is_busy = True
        self._dry_at_s = max(self._dry_at_s, time.monotonic()) + len(samples) / self.sample_rate
        request = ffi_pb2.FfiRequest()
        capture = request.capture_audio_frame
        capture.source_handle = self._ffi_handle.handle
        capture.request_async_id = self._answer_id
        capture.buffer.data_ptr = samples.ctypes.data
        capture.buffer.num_channels = 1
        capture.buffer.sample_rate = self.sample_rate
        capture.buffer.samples_per_channel = len(samples)
        FfiClient.instance.request(request)

    async def aclose(self) -> None:
        native_events().remove_listener("answer", self._answer_id)
        await super().aclose()

    def _on_answer(self, event: Any) -> None:
        self.is_busy = False
        if error := event.capture_audio_frame.error:
            log.warning("frame_not_taken", error=error)
