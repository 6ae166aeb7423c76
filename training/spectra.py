"""How different two sounds sound: spectra at several resolutions. torch."""

import math
from functools import cache

import torch

SCALES = ((1024, 80), (256, 32))  # samples of the window, bands
QUIET = 1e-3


@cache
def _bands(size: int, count: int) -> torch.Tensor:
    """Triangular bands on the mel scale `[bands, size // 2 + 1]`."""
    hz = torch.linspace(0, 12_000, size // 2 + 1)
    top = 2595 * math.log10(1 + 12_000 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, count + 2) / 2595) - 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise, fall = (hz - low) / (middle - low), (high - hz) / (high - middle)
    return torch.minimum(rise, fall).clamp(min=0)


@cache
def _window(size: int) -> torch.Tensor:
    return torch.hann_window(size)


def _spectrum(sound: torch.Tensor, size: int) -> torch.Tensor:
    whole = torch.stft(sound, size, size // 4, window=_window(size), return_complex=True)
    return torch.sqrt(whole.real**2 + whole.imag**2 + 1e-9)


def spectral_difference(wanted: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """Difference of sounds `[B, S]`: of log mel bands, and of spectra as they are."""
    total = torch.zeros(())
    for size, count in SCALES:
        a, b = _spectrum(wanted, size), _spectrum(given, size)
        bands = _bands(size, count)
        logs = torch.log(bands @ a + QUIET) - torch.log(bands @ b + QUIET)
        total = total + logs.abs().mean() + 0.5 * (a - b).norm() / (a.norm() + 1e-2)
    return total / len(SCALES)
