"""Speech moved onto the frame grid, with its melody, so that a very small codec can play it.

WORLD (pyworld) takes speech apart into pitch, spectra and breath. It is put together anew: a whole
number of pulses in every frame, at the same places in each frame of that number, all with the
same phases; and the breath is one noise that repeats with every frame. So the same sound gives
the same samples in every frame. A voice has some numbers of pulses, 12.5 Hz apart or more: each
frame has the one that is nearest to its pitch. `lock` runs where pyworld is installed.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import signal

from training.sound import FRAME, FRAMES_PER_S, RATE_HZ, Pcm

Floats = npt.NDArray[np.float64]

HOP = 120  # samples: WORLD looks every 5 ms
LOWEST_HZ, HIGHEST_HZ = 60.0, 420.0
VOICED_HOPS = 3  # of a frame's 16 that make it voiced
WINDOW, STEP = 240, 60  # samples of a grain of noise
LOW_DELAY_S, DELAY_S, DELAY_HZ = 0.0035, 0.0006, 1500.0  # of a pulse's low tones, and of its high
LEAD = 512  # samples of a pulse before its place
QUIET = 1e-16  # power


def lock(pcm: Pcm, pulses: Sequence[int]) -> Pcm:
    """Set a sentence `[S]`, which begins on the grid, onto the grid; a frame has so many pulses."""
    import pyworld  # here, for this file is imported where it is not installed

    length = -(-len(pcm) // FRAME) * FRAME
    sound = np.pad(pcm.astype(np.float64), (0, length - len(pcm)))
    rough, at_s = pyworld.dio(
        sound, RATE_HZ, f0_floor=LOWEST_HZ, f0_ceil=HIGHEST_HZ, frame_period=1000 * HOP / RATE_HZ
    )
    hz = pyworld.stonemask(sound, rough, at_s, RATE_HZ)
    power = pyworld.cheaptrick(sound, hz, at_s, RATE_HZ)
    breath = pyworld.d4c(sound, hz, at_s, RATE_HZ)
    voice = _voice(power * (1 - breath**2), hz > 0, pulses_of(hz, length // FRAME, pulses))
    breathed = np.where((hz > 0)[:, None], power * breath**2, power)
    return (voice[:length] + _breath(breathed, length)).astype(np.float32)


def pulses_of(hz: Floats, frames: int, pulses: Sequence[int]) -> list[int]:
    """Pulses of each frame: those nearest to its pitch; an unvoiced frame's are its neighbour's."""
    hops = FRAME // HOP
    found: list[int | None] = []
    for n in range(frames):
        voiced = hz[n * hops : (n + 1) * hops]
        voiced = voiced[voiced > 0]
        wanted = np.log(voiced).mean() if len(voiced) >= VOICED_HOPS else None
        found.append(None if wanted is None else _nearest(wanted, pulses))
    after = [*found[1:], None]
    before = [None, *found[:-1]]
    usual = pulses[len(pulses) // 2]
    return [a or b or c or usual for a, b, c in zip(found, before, after, strict=True)]


def _nearest(log_hz: float, pulses: Sequence[int]) -> int:
    return min(pulses, key=lambda count: abs(np.log(count * FRAMES_PER_S) - log_hz))


def _voice(power: Floats, voiced: npt.NDArray[np.bool_], counts: Sequence[int]) -> Floats:
    """The voiced sound of spectra `[hops, bins]`."""
    size = 2 * (power.shape[1] - 1)
    out = np.zeros(LEAD + len(counts) * FRAME + size)
    phases = _phases(power.shape[1])
    for frame, count in enumerate(counts):
        for n in range(count):
            at = frame * FRAME + round(n * FRAME / count)
            hop = min(len(voiced) - 1, round(at / HOP))
            if voiced[hop]:
                pulse = np.fft.irfft(np.sqrt(power[hop] + QUIET) * phases)
                grain = np.roll(pulse, size // 4) * np.sqrt(FRAME / count)
                begin = LEAD + at - size // 4
                out[begin : begin + size] += grain
    return out[LEAD:]


def _phases(bins: int) -> npt.NDArray[np.complex128]:
    """Phases of every pulse: its low tones come later, so that it is no click."""
    hz = np.linspace(0, RATE_HZ / 2, bins)
    delay_s = LOW_DELAY_S * np.exp(-hz / DELAY_HZ) + DELAY_S
    return np.exp(-2j * np.pi * np.cumsum(delay_s) * hz[1])


def _breath(power: Floats, length: int) -> Floats:
    """One noise that repeats with every frame, with spectra `[hops, bins]`."""
    once = np.random.default_rng(1).standard_normal(FRAME)
    noise = np.tile(once, length // FRAME + 1)[:length]
    form = {"fs": RATE_HZ, "nperseg": WINDOW, "noverlap": WINDOW - STEP}
    _, _, given = signal.stft(noise, **form)
    hops = (np.arange(given.shape[1]) * STEP / HOP).round().astype(int).clip(max=len(power) - 1)
    bins = np.linspace(0, power.shape[1] - 1, given.shape[0]).round().astype(int)
    _, out = signal.istft(given * np.sqrt(power[hops][:, bins]).T, **form)
    return out[:length]
