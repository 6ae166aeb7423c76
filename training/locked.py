"""Speech moved onto the frame grid, with its melody, so that a very small codec can play it.

WORLD (pyworld) takes speech apart into pitch, spectra and breath. It is put together anew: a whole
number of pulses in every frame, at the same places in each frame of that number and bend; each
pulse with the least phase that its spectrum allows; and the breath is one noise that repeats with
every frame. So the same sound gives the same samples in every frame. A voice has some numbers of
pulses, 12.5 Hz apart or more: each frame has the one that is nearest to its pitch, and is bent
where the pitch goes on rising or falling. `lock` runs where pyworld is installed.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training.sound import FRAME, FRAMES_PER_S, RATE_HZ, Pcm

Floats = npt.NDArray[np.float64]

HOP = 120  # samples: WORLD looks every 5 ms
LOWEST_HZ, HIGHEST_HZ = 60.0, 420.0
VOICED_HOPS = 3  # of a frame's 16 that make it voiced
MELODY, MOST_STRETCH = 3.2, 2.0  # semitones of deviation that pitch is stretched to; at most so far
BEND, BENT = 0.16, 0.06  # of a bent frame: how much its pitch changes; and when it is bent
WINDOW, STEP = 240, 60  # samples of a grain of noise
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
    counts = pulses_of(livelier(hz), length // FRAME, pulses)
    voice = _voice(_pulses(power * (1 - breath**2)), hz > 0, counts)
    breathed = np.where((hz > 0)[:, None], power * breath**2, power)
    return (voice[:length] + _breath(breathed, length)).astype(np.float32)


def livelier(hz: Floats) -> Floats:
    """Stretch a sentence's pitch `[hops]`, 0 where it has none, so that it moves enough."""
    voiced = hz > 0
    if not voiced.any():
        return hz
    pitch = np.log(hz[voiced])
    moves = 12 / np.log(2) * float(pitch.std())
    stretch = min(MOST_STRETCH, max(1.0, MELODY / max(moves, 1e-3)))
    stretched = hz.copy()
    stretched[voiced] = np.exp(pitch.mean() + stretch * (pitch - pitch.mean()))
    return stretched


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


def bends_of(counts: Sequence[int]) -> list[float]:
    """Return how much the pitch changes within each frame: as from the one before to the next."""
    before, after = [counts[0], *counts[:-1]], [*counts[1:], counts[-1]]
    change = [(b - a) / 2 / n for a, n, b in zip(before, counts, after, strict=True)]
    return [float(np.sign(each)) * BEND if abs(each) >= BENT else 0.0 for each in change]


def places_of(count: int, bend: float) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return where a frame's pulses are, in samples, and how long each one's period is."""
    time = np.linspace(0, 1, FRAME + 1)
    at = np.interp(np.arange(count), count * (time + bend * (time**2 - time) / 2), time)
    return (at * FRAME).round().astype(np.int64), FRAME / count / (1 + bend * (at - 0.5))


def _voice(pulses: Floats, voiced: npt.NDArray[np.bool_], counts: Sequence[int]) -> Floats:
    """Return the voiced sound of the pulse of each hop `[hops, samples]`."""
    size = pulses.shape[1]
    out = np.zeros(len(counts) * FRAME + size)
    for frame, (count, bend) in enumerate(zip(counts, bends_of(counts), strict=True)):
        for place, period in zip(*places_of(count, bend), strict=True):
            at = frame * FRAME + place
            hop = min(len(voiced) - 1, round(at / HOP))
            if voiced[hop]:
                out[at : at + size] += pulses[hop] * np.sqrt(period)
    return out


def _pulses(power: Floats) -> Floats:
    """Return pulses of least phase `[hops, samples]` of spectra `[hops, bins]`, by cepstra."""
    cepstra = np.fft.irfft(np.log(power + QUIET) / 2)
    half = cepstra.shape[1] // 2
    cepstra[:, 1:half] *= 2
    cepstra[:, half + 1 :] = 0
    return np.fft.irfft(np.exp(np.fft.rfft(cepstra)))


def _breath(power: Floats, length: int) -> Floats:
    """Return one noise that repeats with every frame, with spectra `[hops, bins]`."""
    from scipy import signal  # a second of imports, which reading this module does not need

    once = np.random.default_rng(1).standard_normal(FRAME)
    noise = np.tile(once, length // FRAME + 1)[:length]
    form = {"fs": RATE_HZ, "nperseg": WINDOW, "noverlap": WINDOW - STEP}
    _, _, given = signal.stft(noise, **form)
    hops = (np.arange(given.shape[1]) * STEP / HOP).round().astype(int).clip(max=len(power) - 1)
    bins = np.linspace(0, power.shape[1] - 1, given.shape[0]).round().astype(int)
    _, out = signal.istft(given * np.sqrt(power[hops][:, bins]).T, **form)
    return out[:length]
