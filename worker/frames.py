"""Frames of sound: 80 ms at the model's rate, and at the rate of LiveKit's tracks. Pure.

A model with frames of another length is refused (`worker/engine/files/weights.py`).
"""

import numpy as np
import numpy.typing as npt

from worker.engine.arrays import Pcm

RATE_HZ, FRAME_SAMPLES = 24_000, 1920
FRAME_S = FRAME_SAMPLES / RATE_HZ
# Tracks are read and published at the rate of WebRTC and Opus: LiveKit resamples badly
# (`worker/sound/resample.py`).
TRACK_RATE_HZ, TRACK_SAMPLES = 48_000, 3840
SILENCE: Pcm = np.zeros(FRAME_SAMPLES, dtype=np.float32)
SILENCE.flags.writeable = False

Pcm16 = npt.NDArray[np.int16]


def to_int16(pcm: Pcm) -> Pcm16:
    """Return float32 of any shape, clipped to [-1, 1], as 16-bit samples."""
    return (np.clip(pcm, -1.0, 1.0) * 32767.0).astype(np.int16)


def from_int16(samples: Pcm16) -> Pcm:
    """Return 16-bit samples of any shape as float32 in [-1, 1]."""
    return samples.astype(np.float32) / 32768.0


def power(pcm: Pcm) -> float:
    """Return the mean square of samples, `[n]`."""
    return float(np.dot(pcm, pcm)) / len(pcm)
