"""Converts a stream between WebRTC's 48 kHz, the model's 24 kHz and the VAD's 16 kHz. Pure.

LiveKit's resampler loses 2.9 dB at 10 kHz and 7 dB at 11 kHz and folds 12.2 kHz down at -16 dB
(livekit 1.1.21); soxr, which LiveKit has too, returns its samples in blocks of 36 ms, so that
frames of 80 ms would come 44 ms later. This filter delays by 2.5 ms (docs/benchmarks.md).
"""

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.engine.arrays import Pcm

TAPS: Final = 241
CUTOFF: Final = 11_600 / 12_000  # of the lower rate's half: flat to 11 kHz, -95 dB at 12.2 kHz
KAISER_BETA: Final = 8.0
BLOCK: Final = 96  # samples at 48 kHz that one row of the product stands for
ROWS: Final = 5  # 10 ms: the largest product for which BLAS starts no threads


class Resampler:
    """One stream's filter and its state. Called from one thread, with multiples of 10 ms."""

    def __init__(self, *, up: int = 1, down: int = 1) -> None:
        """`up=2`: 24 to 48 kHz. `down=2`: 48 to 24 kHz. Both, with `down=3`: 24 to 16 kHz."""
        self._matrix = _matrix(up, down)
        self._step = BLOCK // up
        self._tail = np.zeros(len(self._matrix) - self._step, dtype=np.float32)

    def feed(self, pcm: Pcm) -> Pcm:
        """Convert the next samples: `[n]` float32 → `[n * up / down]` float32."""
        samples = np.concatenate([self._tail, pcm])
        self._tail = samples[len(pcm) :]
        windows = np.lib.stride_tricks.as_strided(
            samples,
            (len(pcm) // self._step // ROWS, ROWS, len(self._matrix)),
            (self._step * ROWS * 4, self._step * 4, 4),
        )
        return (np.ascontiguousarray(windows) @ self._matrix).reshape(-1)


@cache  # one for all rooms: with one for each they fell out of the processor's caches
def _matrix(up: int, down: int) -> npt.NDArray[np.float32]:
    """Return the weight of each sample of a window in each of a block, `[window, block]`."""
    times = np.arange(TAPS) - (TAPS - 1) / 2
    low_pass = np.sinc(CUTOFF / max(up, down) * times) * np.kaiser(TAPS, KAISER_BETA)
    low_pass /= low_pass.sum()
    block = BLOCK // down
    window = ((block - 1) * down + TAPS - 1) // up + 1
    matrix = np.zeros((window, block), dtype=np.float32)
    for out in range(block):
        taps = np.arange(window) * up - out * down
        inside = (taps >= 0) & (taps < TAPS)
        matrix[inside, out] = up * low_pass[taps[inside]]
    return matrix
