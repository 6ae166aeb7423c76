"""Silero's VAD over a stream of samples, a window at a time. Pure.

The VAD is the one of LiveKit's agents (livekit-local-inference), and its thresholds are those of
`livekit.agents.inference.VAD` (livekit-agents 1.8.9).
"""

from collections.abc import Iterator

import numpy as np
from livekit.local_inference import VAD, VAD_WINDOW_SAMPLES

from worker.frames import Pcm16

VAD_RATE_HZ = 16_000
WINDOW_S = VAD_WINDOW_SAMPLES / VAD_RATE_HZ
SPEECH_AT, SILENCE_BELOW = 0.5, 0.35
SPEECH_WINDOWS = 2  # 64 ms begin a speech


class VadWindows:
    """Cuts one stream into windows. Called from one thread."""

    def __init__(self) -> None:
        self._vad = VAD()
        self._rest: Pcm16 = np.zeros(0, dtype=np.int16)  # less than a window

    def feed(self, samples: Pcm16) -> Iterator[tuple[Pcm16, float, float]]:
        """Take the next samples, `[n]` at 16 kHz; yield each window that is whole with them.

        With it how likely it is speech, and how many seconds of these samples follow it.
        """
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // VAD_WINDOW_SAMPLES * VAD_WINDOW_SAMPLES
        self._rest = samples[whole:]
        for end in range(VAD_WINDOW_SAMPLES, whole + 1, VAD_WINDOW_SAMPLES):
            window = samples[end - VAD_WINDOW_SAMPLES : end]
            yield window, self._vad.predict(window), (len(samples) - end) / VAD_RATE_HZ

    def reset(self) -> None:
        """Begin anew with the next samples."""
        self._vad.reset()
        self._rest = self._rest[:0]
