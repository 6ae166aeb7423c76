"""A persona's voice: one published track, fed a frame every 80 ms, silence included.

Runs on its room's event loop. Nothing gates or delays the voice: the source's queue holds a small
cushion against jitter; a frame that comes too late shows as a counted gap with faded edges, and
sound that has piled up is dropped, so that delay never grows.
"""

import asyncio
from collections import deque

import numpy as np
import structlog
from livekit import rtc
from livekit.rtc.participant import UnpublishTrackError
from prometheus_client import Counter

from worker.engine.arrays import Pcm
from worker.sound.resample import Resampler

log = structlog.get_logger(__name__)

SAMPLE_RATE_HZ = 24_000
TRACK_RATE_HZ = 48_000  # as Opus has it: the SDK's way there loses 8 dB at 11 kHz
QUEUE_MS = 200  # room in the source's queue; a multiple of 10, else the SDK's native code panics
FADE_SAMPLES = 240  # 10 ms
CUSHION_FIRST_MS = 10  # each gap adds a step, up to the most: a quiet machine pays no delay
CUSHION_STEP_MS = 20
CUSHION_MOST_MS = 60
LAG_MS = 100  # more than this waits in the queue when a frame comes: it is lag

GAPS = Counter("moshi_voice_gaps", "Frames that came after the voice had run dry")
SKIPS = Counter("moshi_voice_skips", "Frames left out because sound had piled up")

_FADE_IN = np.linspace(0.0, 1.0, FADE_SAMPLES, dtype=np.float32)


def faded_in(pcm: Pcm) -> Pcm:
    """A copy that begins with a fade of 10 ms."""
    out = pcm.copy()
    out[:FADE_SAMPLES] *= _FADE_IN[: len(out)]
    return out


def faded_out(pcm: Pcm) -> Pcm:
    """A copy that ends with a fade of 10 ms."""
    out = pcm.copy()
    out[-FADE_SAMPLES:] *= _FADE_IN[::-1][-len(out) :]
    return out


def to_audio_frame(pcm: Pcm, rate_hz: int = SAMPLE_RATE_HZ) -> rtc.AudioFrame:
    """Make the SDK's 16-bit frame of `[n]` float32 in [-1, 1]."""
    samples = (np.clip(pcm, -1.0, 1.0) * 32767.0).astype(np.int16)
    return rtc.AudioFrame(samples.tobytes(), rate_hz, 1, len(samples))


class Voice:
    """Publishes and feeds one track. Every method is called on the room's loop."""

    def __init__(self, room: rtc.Room, name: str) -> None:
        self._room = room
        self._name = name
        self._source = rtc.AudioSource(TRACK_RATE_HZ, 1, queue_size_ms=QUEUE_MS)
        self._to_track = Resampler(up=2)
        self._frames: deque[Pcm] = deque(maxlen=3)
        self._wake = asyncio.Event()
        self._cushion_ms = CUSHION_FIRST_MS
        self._started = False
        self._ending = False
        self._task: asyncio.Task[None] | None = None
        self.publication: rtc.LocalTrackPublication | None = None
        self.gaps = 0

    async def publish(self) -> None:
        """Publish the track as a microphone, which is what LiveKit's frontends look for."""
        track = rtc.LocalAudioTrack.create_audio_track(self._name, self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        options.audio_encoding.max_bitrate = 64_000
        self.publication = await self._room.local_participant.publish_track(track, options)
        self._task = asyncio.create_task(self._feed(), name=f"voice {self._name}")

    def play(self, pcm: Pcm) -> None:
        """Play the next frame, `[1920]` float32."""
        self._frames.append(pcm)
        self._wake.set()

    async def fade_out(self) -> None:
        """Fade out with the next frame, or give up waiting for one after 200 ms."""
        self._ending = True
        if self._task is not None:
            await asyncio.wait([self._task], timeout=0.2)
            self._task.cancel()

    async def unpublish(self) -> None:
        """Take the track back: one that the server removes leaks a thread (rust-sdks#1443)."""
        if self.publication is not None and self._room.isconnected():
            try:
                await self._room.local_participant.unpublish_track(self.publication.sid)
            except UnpublishTrackError as error:
                log.warning("unpublish_failed", error=str(error))
        await self._source.aclose()

    async def _feed(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._frames:
                await self._capture(self._frames.popleft())
                if self._ending:
                    return

    async def _capture(self, pcm: Pcm) -> None:
        queued_ms = self._source.queued_duration * 1000
        if queued_ms > LAG_MS:
            SKIPS.inc()
            return
        if queued_ms <= 0:
            pcm = np.concatenate([self._new_cushion(), faded_in(pcm)])
        if self._ending:
            pcm = faded_out(pcm)
        await self._source.capture_frame(to_audio_frame(self._to_track.feed(pcm), TRACK_RATE_HZ))

    def _new_cushion(self) -> Pcm:
        """Silence to begin with, so that jitter finds something to eat; more after each gap."""
        if self._started:
            self.gaps += 1
            GAPS.inc()
            self._cushion_ms = min(self._cushion_ms + CUSHION_STEP_MS, CUSHION_MOST_MS)
        self._started = True
        return np.zeros(self._cushion_ms * SAMPLE_RATE_HZ // 1000, dtype=np.float32)
