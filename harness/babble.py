"""Make a sound like speech: sentences of syllables, each a consonant and a vowel.

Pure: numpy, a seed. It has no words, but a voice activity detector takes it for speech, and two
pieces of it differ as much as two pieces of speech, so that correlation can find a delay.
"""

import numpy as np
import numpy.typing as npt

RATE_HZ = 24_000
SYLLABLE_S = 0.18
SENTENCE = 14  # syllables; then a pause of three, where it pauses
PITCH_HZ, FALL_HZ, LILT_HZ = 125.0, 25.0, 12.0
VOWELS_HZ = (  # the first three formants of a, e, i, o, u
    (730.0, 1090.0, 2440.0),
    (530.0, 1840.0, 2480.0),
    (270.0, 2290.0, 3010.0),
    (570.0, 840.0, 2410.0),
    (300.0, 870.0, 2240.0),
)
FORMANT_GAINS = (1.0, 0.5, 0.25)
WIDTHS_HZ = (80.0, 100.0, 160.0)
HISS_HZ = (2500.0, 6500.0)
CONSONANT = 0.25  # of a syllable
HISS = 0.25

Sound = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]


def babble(seconds: float, seed: int = 1, *, pauses: bool = True) -> Sound:
    """Return speech-like sound `[seconds · 24000]`, peak 0.5, with or without pauses."""
    rng = np.random.default_rng(seed)
    at = np.arange(round(seconds * RATE_HZ)) / (SYLLABLE_S * RATE_HZ)  # in syllables
    count = int(at[-1]) + 2
    place = np.arange(count) % (SENTENCE + 3)
    loud = rng.uniform(0.7, 1.0, count)
    if pauses:
        loud[place >= SENTENCE] = 0.0
    inside = at % 1.0
    loudness = loud[at.astype(int)]
    opening = np.clip((inside - CONSONANT) / 0.15, 0, 1) * np.clip((1.0 - inside) / 0.15, 0, 1)
    vowels = np.array(VOWELS_HZ)[rng.integers(len(VOWELS_HZ), size=count)]
    pitch = PITCH_HZ - FALL_HZ * place / SENTENCE + rng.normal(scale=LILT_HZ, size=count)
    voice = _vowels(at, vowels, pitch, rng) * (0.05 + opening)
    hissing = (rng.random(count) < 0.6)[at.astype(int)] & (inside < CONSONANT)
    sound = loudness * (voice / np.abs(voice).max() + HISS * hissing * _hiss(len(at), rng))
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def noisy(sound: Sound, snr_db: float, seed: int = 2) -> Sound:
    """Add white noise that is some dB below the sound, at the same loudness."""
    power = float(np.mean(sound**2)) / 10 ** (snr_db / 10)
    mixed = sound + np.random.default_rng(seed).normal(scale=power**0.5, size=len(sound))
    return (mixed * 0.5 / max(0.5, float(np.abs(mixed).max()))).astype(np.float32)


def _vowels(at: Curve, vowels: Curve, pitch: Curve, rng: np.random.Generator) -> Curve:
    """Return the harmonics of a voice whose pitch and formants glide between syllables."""
    syllables = np.arange(len(pitch))
    pitch_hz = np.interp(at, syllables, pitch) * (1 + 0.01 * _slow_noise(len(at), rng))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    formants = [np.interp(at - 0.4, syllables, vowels[:, each]) for each in range(3)]
    sound = np.zeros(len(at))
    for harmonic in range(1, 32):
        at_hz = harmonic * pitch_hz
        gain = sum(
            strength / np.hypot(1.0, (at_hz - formant) / width)
            for formant, width, strength in zip(formants, WIDTHS_HZ, FORMANT_GAINS, strict=True)
        )
        sound += gain * np.sin(harmonic * phase) / harmonic**0.3
    return sound


def _hiss(samples: int, rng: np.random.Generator) -> Curve:
    """Return noise in the frequencies of an s."""
    spectrum = np.fft.rfft(rng.normal(size=samples))
    hz = np.fft.rfftfreq(samples, 1 / RATE_HZ)
    spectrum[(hz < HISS_HZ[0]) | (hz > HISS_HZ[1])] = 0
    return np.fft.irfft(spectrum, samples)


def _slow_noise(samples: int, rng: np.random.Generator) -> Curve:
    """Return slow random changes, a new value each 10 ms."""
    values = rng.normal(size=samples // 240 + 2)
    return np.interp(np.arange(samples) / 240, np.arange(len(values)), values)
