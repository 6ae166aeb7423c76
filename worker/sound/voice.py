"""A participant's voice: one published track that gets a frame every 80 ms, silence included.

Runs on the room's event loop. LiveKit's queue holds a small cushion against jitter. A frame that
comes after the queue ran dry is a counted gap with faded edges; a frame that comes while too much
sound is queued is dropped, so that delay never grows.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
import structlog
from livekit import rtc
from livekit.rtc.participant import PublishTrackError, UnpublishTrackError
from prometheus_client import Counter

from worker.engine.arrays import Pcm
from worker.frames import RATE_HZ, TRACK_RATE_HZ, to_int16
from worker.livekit_private.audio_sink import AudioSink
from worker.sound.resample import Resampler

log = structlog.get_logger(__name__)

QUEUE_MS = 200  # capacity of LiveKit's queue; its native code panics unless a multiple of 10
FADE_SAMPLES = 240  # 10 ms
CUSHION_FIRST_MS = 10  # grows with each gap: an idle machine pays no delay
CUSHION_STEP_MS = 20
CUSHION_MOST_MS = 60
LAG_MS = 100  # with more than this in the queue a new frame is dropped
FADE_OUT_WITHIN_S = 0.2
# LiveKit's answers to both come by the room (livekit 1.1 participant.py `_room_queue`): where that
# ends meanwhile they never come.
PUBLISH_WITHIN_S = 10.0
UNPUBLISH_WITHIN_S = 2.0
LOOKS_S = 0.1  # between two looks whether the room has ended
WAITING_FRAMES = 3
BUSY_S = 0.005  # until the next look whether LiveKit has taken the last of several frames

GAPS = Counter("moshi_voice_gaps", "Frames that came after the voice had run dry")
SKIPS = Counter("moshi_voice_skips", "Frames left out because sound had piled up")

T = TypeVar("T")

_FADE_IN = np.linspace(0.0, 1.0, FADE_SAMPLES, dtype=np.float32)


def faded_in(pcm: Pcm) -> Pcm:
    """Return a copy that begins with a fade of 10 ms."""
    out = pcm.copy()
    out[:FADE_SAMPLES] *= _FADE_IN
    return out


def faded_out(pcm: Pcm) -> Pcm:
    """Return a copy that ends with a fade of 10 ms."""
    out = pcm.copy()
    out[-FADE_SAMPLES:] *= _FADE_IN[::-1]
    return out


class Voice:
    """Publishes one track and plays frames on it. Every method is called on the room's loop."""

    def __init__(self, room: rtc.Room, name: str) -> None:
        self._room = room
        self._name = name
        self._source = AudioSink(TRACK_RATE_HZ, QUEUE_MS)
        self._resampler = Resampler(up=2)
        self._frames: deque[Pcm] = deque(maxlen=WAITING_FRAMES)
        self._next_look: asyncio.TimerHandle | None = None
        self._cushion_ms = 0  # 0: nothing was played yet
        self._is_ending = False
        self._has_ended = asyncio.Event()
        self._publication: rtc.LocalTrackPublication | None = None

    async def publish(self) -> rtc.LocalTrackPublication:
        """Publish the track as a microphone, as LiveKit's frontends expect.

        LiveKit publishes it anew, with another SID, after it has lost a connection. Raises
        `PublishTrackError`.
        """
        track = rtc.LocalAudioTrack.create_audio_track(self._name, self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        options.audio_encoding.max_bitrate = 64_000
        publishing = self._room.local_participant.publish_track(track, options)
        try:
            self._publication = await self._answer(publishing, PUBLISH_WITHIN_S)
        except TimeoutError:
            raise PublishTrackError("LiveKit gave no answer") from None
        self._play_waiting()
        return self._publication

    def play(self, pcm: Pcm) -> None:
        """Play the next frame, `[1920]` float32."""
        self._frames.append(pcm)
        if self._next_look is None:
            self._play_waiting()

    async def fade_out(self) -> None:
        """Fade out with the next frame, or stop where none comes in time."""
        self._is_ending = True
        if self._publication is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._has_ended.wait(), FADE_OUT_WITHIN_S)
        self._has_ended.set()

    async def unpublish(self) -> None:
        """Unpublish the track: one that the server removes leaks a thread (rust-sdks#1443)."""
        try:
            if self._publication is not None and self._room.isconnected():
                ending = self._room.local_participant.unpublish_track(self._publication.sid)
                await self._answer(ending, UNPUBLISH_WITHIN_S)
        except (UnpublishTrackError, TimeoutError) as error:
            log.warning("unpublish_failed", error=str(error) or "no answer")
        finally:
            await self._source.aclose()

    async def _answer(self, asked: Coroutine[Any, Any, T], within_s: float) -> T:
        """Return LiveKit's answer. Raises `TimeoutError` where it is late or the room has ended."""
        answering = asyncio.create_task(asked)
        try:
            async with asyncio.timeout(within_s):
                while self._room.isconnected() and not answering.done():
                    await asyncio.wait([answering], timeout=LOOKS_S)
            if not answering.done():
                raise TimeoutError
            return answering.result()
        finally:
            answering.cancel()

    def _play_waiting(self) -> None:
        """Hand over the frames that wait, in order: one once LiveKit has taken the one before."""
        self._next_look = None
        if self._publication is None:
            return
        while self._frames and not self._source.is_busy and not self._has_ended.is_set():
            self._send(self._frames.popleft())
            if self._is_ending:
                self._has_ended.set()
        if self._frames and not self._has_ended.is_set():
            loop = asyncio.get_running_loop()
            self._next_look = loop.call_later(BUSY_S, self._play_waiting)

    def _send(self, pcm: Pcm) -> None:
        queued_ms = self._source.queued_duration * 1000
        if queued_ms > LAG_MS:
            SKIPS.inc()
            return
        if queued_ms <= 0:
            pcm = np.concatenate([self._new_cushion(), faded_in(pcm)])
        if self._is_ending:
            pcm = faded_out(pcm)
        self._source.send(to_int16(self._resampler.feed(pcm)))

    def _new_cushion(self) -> Pcm:
        """Return the silence that absorbs jitter from now on: more after each gap."""
        if self._cushion_ms:
            GAPS.inc()
            self._cushion_ms = min(self._cushion_ms + CUSHION_STEP_MS, CUSHION_MOST_MS)
        else:
            self._cushion_ms = CUSHION_FIRST_MS
        return np.zeros(self._cushion_ms * RATE_HZ // 1000, dtype=np.float32)
