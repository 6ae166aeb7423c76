"""Speech moved onto the frame grid, so that a very small codec can learn it quickly.

espeak-ng's voiced sound is a train of pulses, each answered by the throat. Here the pulses are set
anew: a whole number of them in every frame, at the same places in each frame of that number, and
the hiss of unvoiced sound becomes that of one noise that repeats with every frame. What is said,
the timbre and the melody (in steps of 12.5 Hz) stay. So the same sound gives the same samples in
every frame: a decoder learns waveforms, not phases. Pitch-synchronous overlap and add
(Moulines, Charpentier 1990) for the voice, a channel of noise for the hiss. Pure: numpy, scipy.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import signal

from training.sound import FRAME, RATE_HZ, Melody, Pcm

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

HOP = 120  # samples: pitch is looked for every 5 ms
WINDOW = 240  # samples of a grain of noise, every quarter of it
VOICED = 0.62  # how alike two periods are in voiced sound
OCTAVE = 0.9  # of the likeness of two periods: then one is the period
SILENT = 1e-3  # RMS below which nothing sounds
LOWEST_HZ, HIGHEST_HZ = 60.0, 400.0


@dataclass(frozen=True, slots=True)
class Pitch:
    """Pitch and voicing every `HOP` samples."""

    hz: Floats
    voiced: Flags


def lock(pcm: Pcm, melody: Melody) -> Pcm:
    """Set a sentence `[S]`, which begins on the grid, onto the grid."""
    length = -(-len(pcm) // FRAME) * FRAME
    sound = np.pad(pcm.astype(np.float64), (0, length - len(pcm)))
    pitch = find_pitch(sound, melody.middle_hz)
    voiced = _sample_mask(pitch.voiced, length)
    voice = _voice(sound, pitch, voiced, melody)
    hiss = _hiss(sound * (1 - voiced))
    return (voice + hiss).astype(np.float32)


def find_pitch(sound: Floats, near_hz: float) -> Pitch:
    """Pitch by autocorrelation, within 60 % around `near_hz`."""
    low, high = max(LOWEST_HZ, near_hz / 1.6), min(HIGHEST_HZ, near_hz * 1.6)
    short, long = int(RATE_HZ / high), int(RATE_HZ / low) + 1
    size = 2 * long
    count = len(sound) // HOP
    padded = np.pad(sound, (size, size))
    middles = size + np.arange(count) * HOP + HOP // 2
    parts = padded[middles[:, None] + np.arange(-size, size)]
    held = 2 * size - long  # what is compared with itself, later by up to `long` samples
    spectra = np.fft.rfft(parts, 4 * size), np.fft.rfft(parts[:, :held], 4 * size)
    alike = np.fft.irfft(spectra[0] * spectra[1].conj())[:, : long + 1]
    power = np.cumsum(np.pad(parts**2, ((0, 0), (1, 0))), axis=1)
    energy = power[:, held : held + long + 1] - power[:, : long + 1]
    alike /= np.sqrt(energy * energy[:, :1]) + 1e-9
    best = short + alike[:, short:].argmax(axis=1)
    half = np.maximum(best // 2, 1)  # where two periods are alike, one may be
    every = np.arange(count)
    octave = (half >= short) & (alike[every, half] > OCTAVE * alike[every, best])
    best = np.where(octave, half, best)
    voiced = (alike[every, best] > VOICED) & (energy[:, 0] > held * SILENT**2)
    hz = np.where(voiced, RATE_HZ / best, near_hz)
    voiced = signal.medfilt(voiced.astype(float), 5) > 0.5
    return Pitch(signal.medfilt(hz, 5), voiced)


def _sample_mask(flags: Flags, length: int) -> Floats:
    """Flags of hops as a mask of samples with short ramps."""
    mask = np.repeat(flags.astype(np.float64), HOP)
    mask = np.pad(mask, (0, length - len(mask)), mode="edge")
    ramp = np.hanning(HOP + 2)[1:-1]
    return np.convolve(mask, ramp / ramp.sum(), mode="same")


def pulses_of(pitch: Pitch, melody: Melody, frames: int) -> list[int]:
    """Pulses of each frame: the nearest that the voice may have."""
    hops = FRAME // HOP
    counts: list[int] = []
    for n in range(frames):
        here = slice(n * hops, (n + 1) * hops)
        on = pitch.voiced[here]
        if not on.any():
            counts.append(counts[-1] if counts else melody.pulses[len(melody.pulses) // 2])
            continue
        wanted = float(pitch.hz[here][on].mean()) * FRAME / RATE_HZ
        counts.append(min(melody.pulses, key=lambda k: abs(k - wanted)))
    return counts


def _source_marks(sound: Floats, pitch: Pitch, melody: Melody) -> npt.NDArray[np.int64]:
    """Places of the pulses: the crests of the fundamental."""
    band = [melody.middle_hz * 0.5, melody.middle_hz * 1.5]
    sos = signal.butter(2, band, "bandpass", fs=RATE_HZ, output="sos")
    fundamental = signal.sosfiltfilt(sos, sound)
    crests, _ = signal.find_peaks(fundamental, distance=int(RATE_HZ / melody.middle_hz / 1.7))
    return crests


def _voice(sound: Floats, pitch: Pitch, voiced: Floats, melody: Melody) -> Floats:
    """The voiced sound with its pulses on the grid."""
    marks = _source_marks(sound, pitch, melody)
    out = np.zeros(len(sound) + 4 * FRAME)
    if not len(marks):
        return out[: len(sound)]
    source = np.pad(sound * voiced, FRAME)
    for frame, count in enumerate(pulses_of(pitch, melody, len(sound) // FRAME)):
        period = FRAME / count
        for n in range(count):
            target = round(frame * FRAME + n * period)
            if voiced[target] <= 0:
                continue
            mark = int(marks[np.abs(marks - target).argmin()])
            hz = float(pitch.hz[min(mark // HOP, len(pitch.hz) - 1)])
            half = round(min(RATE_HZ / hz, 1.25 * period))
            grain = source[FRAME + mark - half : FRAME + mark + half]
            window = np.hanning(2 * half + 1)[:-1]
            begin = FRAME + target - half
            out[begin : begin + 2 * half] += grain * window * (period / half) ** 0.5
    return out[FRAME : FRAME + len(sound)]


def _noise() -> Floats:
    """One frame of noise, the same for ever."""
    return np.random.default_rng(1).standard_normal(FRAME)


def _hiss(sound: Floats) -> Floats:
    """The unvoiced sound, as one noise that repeats with every frame and is shaped like it."""
    noise = np.tile(_noise(), len(sound) // FRAME + 1)[: len(sound)]
    step = WINDOW // 4
    form = {"window": "hann", "nperseg": WINDOW, "noverlap": WINDOW - step}
    _, _, wanted = signal.stft(sound, **form)
    _, _, given = signal.stft(noise, **form)
    smooth = np.ones((5, 3)) / 15
    target = np.sqrt(signal.convolve2d(np.abs(wanted) ** 2, smooth, mode="same"))
    level = np.sqrt(signal.convolve2d(np.abs(given) ** 2, smooth, mode="same")) + 1e-9
    _, out = signal.istft(given / level * target, **form)
    return out[: len(sound)]
