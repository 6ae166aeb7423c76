"""What the pocket Moshi hears beside its own voice: people in rooms, noise, music, clicks.

A surrounding is one kind of noise and one room; all that is said in it is heard with both.
numpy; made from a seed, stored nowhere.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import signal

from training.corpus import Clip
from training.sound import FRAME, RATE_HZ, Pcm, gain, whole_frames

Floats = npt.NDArray[np.float64]

NOISE_FRAMES = 250  # 20 s without speech
CLIPS = 36  # of people in each surrounding
BURSTS = 8  # coughs and clicks in each surrounding
LOUD_DB, SOFT_DB = (-10.0, 5.0), (-24.0, -17.0)  # against the corpus; soft: hardly heard
SOFT_SHARE = 0.12
QUIETEST_DB, LOUDEST_DB = -80.0, -42.0  # of noise, RMS


@dataclass(frozen=True, slots=True)
class Heard:
    """Something that is heard: whole frames of sound `[S]`, and when it is over."""

    pcm: Pcm
    end_s: float
    soft: bool = False


@dataclass(frozen=True, slots=True)
class Surrounding:
    """Sound of one place."""

    noise: Pcm
    speech: tuple[Heard, ...]
    bursts: tuple[Heard, ...]


def surroundings(people: tuple[Clip, ...], count: int, seed: int = 11) -> Iterator[Surrounding]:
    """As many places; every fourth is perfectly quiet but for the people."""
    for number in range(count):
        rng = random.Random(seed * 1000 + number)
        chance = np.random.default_rng(seed * 1000 + number)
        kind = KINDS[number % len(KINDS)] if number % 4 else _silence
        level = gain(rng.uniform(QUIETEST_DB, LOUDEST_DB))
        echo = _echo(chance, rng.uniform(0.1, 0.5)) if rng.random() < 0.5 else None

        def noise(samples: int) -> Floats:
            return _level(kind(chance, samples)) * level  # noqa: B023  used within this round

        speech = tuple(_said(rng, rng.choice(people), echo, noise) for _ in range(CLIPS))
        bursts = tuple(_burst(rng, chance, noise) for _ in range(BURSTS))
        yield Surrounding(noise(NOISE_FRAMES * FRAME).astype(np.float32), speech, bursts)


def _said(
    rng: random.Random, clip: Clip, echo: Floats | None, noise: Callable[[int], Floats]
) -> Heard:
    soft = rng.random() < SOFT_SHARE
    sound = clip.pcm * gain(rng.uniform(*(SOFT_DB if soft else LOUD_DB)))
    if echo is not None:
        sound = signal.fftconvolve(sound, echo)[: len(sound) + FRAME]
    begin = rng.randrange(FRAME)  # a person knows no frames
    end_s = (begin + len(clip.pcm)) / RATE_HZ
    pcm = whole_frames(np.pad(sound, (begin, 0)).astype(np.float32))
    mixed = (pcm + noise(len(pcm))).clip(-1, 1).astype(np.float32)
    return Heard(mixed, end_s, soft)


def _burst(
    rng: random.Random, chance: np.random.Generator, noise: Callable[[int], Floats]
) -> Heard:
    """A click or a cough: loud, over before it could be a word."""
    length = int(rng.choice((0.002, 0.01, 0.05, 0.12)) * RATE_HZ)
    sound = np.zeros(2 * FRAME)
    begin = rng.randrange(FRAME // 2)
    fading = np.exp(-np.linspace(0, 4, length))
    sound[begin : begin + length] = chance.standard_normal(length) * fading * rng.uniform(0.02, 0.3)
    return Heard((sound + noise(len(sound))).clip(-1, 1).astype(np.float32), length / RATE_HZ)


def _echo(chance: np.random.Generator, seconds: float) -> Floats:
    """A room's answer to a click: the click, and noise that fades by 60 dB."""
    samples = int(seconds * RATE_HZ)
    tail = chance.standard_normal(samples) * 10 ** (-3 * np.arange(samples) / samples)
    tail *= 0.4 / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail


def _level(sound: Floats) -> Floats:
    return sound / max(float(np.sqrt(np.mean(sound**2))), 1e-9)


def _silence(chance: np.random.Generator, samples: int) -> Floats:
    return np.zeros(samples)


def _white(chance: np.random.Generator, samples: int) -> Floats:
    return chance.standard_normal(samples)


def _pink(chance: np.random.Generator, samples: int) -> Floats:
    """Traffic, wind, a fan: less the higher it is."""
    spectrum = np.fft.rfft(chance.standard_normal(samples))
    spectrum /= np.sqrt(np.arange(len(spectrum)) + 20.0)
    return np.fft.irfft(spectrum, samples)


def _hum(chance: np.random.Generator, samples: int) -> Floats:
    time = np.arange(samples) / RATE_HZ
    parts = (np.sin(2 * np.pi * 50 * n * time) / n for n in (1, 2, 3, 5, 7))
    return sum(parts) + 0.1 * chance.standard_normal(samples)


def _music(chance: np.random.Generator, samples: int) -> Floats:
    """Chords that change twice a second."""
    length = RATE_HZ // 2
    time = np.arange(length) / RATE_HZ
    bell = np.exp(-3 * np.arange(length) / length)
    chords: list[Floats] = []
    for _ in range(-(-samples // length)):
        notes = 220 * 2 ** (chance.integers(0, 24, size=3) / 12)
        chords.append(bell * sum(np.sin(2 * np.pi * hz * time) for hz in notes))
    return np.concatenate(chords)[:samples]


KINDS = (_white, _pink, _hum, _music)
