"""The sound of training: mono at 24 kHz, in frames of 80 ms. Pure: numpy."""

import numpy as np
import numpy.typing as npt

Pcm = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int64]

RATE_HZ = 24_000
FRAME = 1920  # samples of a frame: 80 ms
FRAMES_PER_S = 12.5
AUDIBLE = 0.01  # of full scale


def whole_frames(pcm: Pcm) -> Pcm:
    """Return the sound with its last frame filled up with silence."""
    return np.pad(pcm, (0, -len(pcm) % FRAME))


def without_silence(pcm: Pcm, lead: int = 240, tail: int = 480) -> Pcm:
    """Return the sound from shortly before its first audible sample to shortly after its last."""
    audible = np.flatnonzero(np.abs(pcm) > AUDIBLE)
    return pcm[max(0, int(audible[0]) - lead) : int(audible[-1]) + tail]


def gain(level_db: float) -> float:
    """Return the factor of a level in decibels."""
    return float(10 ** (level_db / 20))
