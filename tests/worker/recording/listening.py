"""Reads recordings back: the samples of both channels, and where in a channel a sound is."""

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

RATE_HZ = 48_000


def channels(path: Path) -> Samples:
    """Return an Ogg/Opus file as `[2, n]` float32 at 48 kHz: left, right."""
    with av.open(str(path)) as container:
        return np.concatenate([each.to_ndarray() for each in container.decode(audio=0)], axis=1)


def found_at_s(sound: Samples, channel: Samples) -> tuple[float, float]:
    """Return where a sound correlates best with a channel, in seconds, and how well, up to 1."""
    size = 1 << (len(sound) + len(channel)).bit_length()
    spectrum = np.fft.rfft(channel, size) * np.conj(np.fft.rfft(sound, size))
    products = np.fft.irfft(spectrum, size)[: len(channel) - len(sound) + 1]
    at = int(np.argmax(products))
    there = channel[at : at + len(sound)]
    scale = float(np.linalg.norm(sound) * np.linalg.norm(there))
    return at / RATE_HZ, float(products[at]) / max(scale, 1e-9)
