"""Loudness of a recording as ITU-R BS.1770-4 measures it, in LUFS. Pure: numpy only.

Offline, so the K-weighting runs in the frequency domain, where its two second-order filters
are two factors.
"""

import numpy as np
import numpy.typing as npt

from worker.engine.arrays import Pcm

BLOCK_S, HOP_S = 0.4, 0.1
SILENT_LUFS = -70.0  # the absolute gate
RELATIVE_LU = -10.0

# The filters of BS.1770-4 annex 1 as gain, quality and frequency, from which the coefficients given
# there for 48 kHz follow at any rate (Mansbridge, Finn, Reiss, AES convention 132, paper 8588).
SHELF_DB, SHELF_Q, SHELF_HZ = 3.999843853973347, 0.7071752369554196, 1681.974450955533
PASS_Q, PASS_HZ = 0.5003270373238773, 38.13547087602444

Response = npt.NDArray[np.complex128]


def at_loudness(pcm: Pcm, rate_hz: int, target_lufs: float) -> Pcm:
    """Scale a mono recording `[S]` to a loudness; silence stays as it is."""
    lufs = loudness_lufs(pcm, rate_hz)
    if lufs is None:
        return pcm
    return (pcm * 10 ** ((target_lufs - lufs) / 20)).astype(np.float32)


def loudness_lufs(pcm: Pcm, rate_hz: int) -> float | None:
    """Integrated, gated loudness of a mono recording `[S]`; None where all of it is silence."""
    weighted = _weighted(pcm.astype(np.float64), rate_hz)
    size, hop = round(BLOCK_S * rate_hz), round(HOP_S * rate_hz)
    if len(weighted) < size:
        weighted = np.pad(weighted, (0, size - len(weighted)))
    blocks = np.lib.stride_tricks.sliding_window_view(weighted, size)[::hop]
    powers = np.square(blocks).mean(axis=1)
    powers = powers[_lufs(powers) > SILENT_LUFS]
    if not len(powers):
        return None
    powers = powers[_lufs(powers) > _lufs(powers.mean()) + RELATIVE_LU]
    return float(_lufs(powers.mean()))


def _lufs(power: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-20))


def _weighted(pcm: npt.NDArray[np.float64], rate_hz: int) -> npt.NDArray[np.float64]:
    """K-weight a recording; a second of room for the filters' ends."""
    size = len(pcm) + rate_hz
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(size))
    spectrum = np.fft.rfft(pcm, size) * _shelf(z, rate_hz) * _high_pass(z, rate_hz)
    return np.fft.irfft(spectrum, size)[: len(pcm)]


def _shelf(z: Response, rate_hz: int) -> Response:
    k = np.tan(np.pi * SHELF_HZ / rate_hz)
    high = 10 ** (SHELF_DB / 20)
    middle = high**0.4996667741545416
    above = (high + middle * k / SHELF_Q + k * k) + 2 * (k * k - high) * z
    above = above + (high - middle * k / SHELF_Q + k * k) * z * z
    return above / _below(z, k, SHELF_Q)


def _high_pass(z: Response, rate_hz: int) -> Response:
    k = np.tan(np.pi * PASS_HZ / rate_hz)
    # BS.1770's second filter has the numerator 1, -2, 1, not normalised.
    return (1 - 2 * z + z * z) * (1 + k / PASS_Q + k * k) / _below(z, k, PASS_Q)


def _below(z: Response, k: float, q: float) -> Response:
    return (1 + k / q + k * k) + 2 * (k * k - 1) * z + (1 - k / q + k * k) * z * z
