"""What the pocket Moshi hears: people in rooms, noise, music, clicks, and itself over loudspeakers.

A surrounding is one kind of noise and one room; all that is said in it is heard with both. In
every second one the agent's own voice comes back, softer and later, as where a browser's echo
cancellation leaves some of it. numpy; made from a seed, not stored.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.corpus import Clip
from training.sound import FRAME, RATE_HZ, Pcm, gain, whole_frames

Floats = npt.NDArray[np.float64]

NOISE_FRAMES = 250  # 20 s without speech
CLIPS = 36  # of people in each surrounding
BURSTS, GUSTS = 8, 12  # coughs and clicks, and noises that come and go, in each surrounding
GUST_S, GUST_DB, GUST_FADE_S = (0.3, 4.0), (-62.0, -40.0), 0.04
LOUD_DB, SOFT_DB = (-10.0, 5.0), (-24.0, -17.0)  # against the corpus; soft: hardly heard
SOFT_SHARE, SOFT_NOISE_DB = 0.15, -57.0  # in more noise than this, soft speech is not heard at all
QUIETEST_DB, LOUDEST_DB = -80.0, -42.0  # of noise, RMS
ECHOING = (0, 1, 3, 6)  # of each eight places, one of the two silent ones and three of six others
ECHO_DB, ECHO_S = (-50.0, -18.0), (0.08, 0.7)  # its own voice: softer, later


@dataclass(frozen=True, slots=True)
class Heard:
    """A sound that is heard: whole frames `[S]`, and when it ends."""

    pcm: Pcm
    end_s: float
    soft: bool = False


@dataclass(frozen=True, slots=True)
class Surrounding:
    """The sound of one place."""

    noise: Pcm
    speech: tuple[Heard, ...]
    bursts: tuple[Heard, ...]
    gusts: tuple[Heard, ...]
    echoes: tuple[Pcm, ...]  # of each clip of the agents, or none of any


def surroundings(
    people: tuple[Clip, ...], agents: tuple[Clip, ...], count: int, seed: int = 11
) -> Iterator[Surrounding]:
    """Return so many places; every fourth has no sound but the people's."""
    for number in range(count):
        rng = random.Random(seed * 1000 + number)
        chance = np.random.default_rng(seed * 1000 + number)
        kind = rng.choice(KINDS) if number % 4 else _silence
        level_db = rng.uniform(QUIETEST_DB, LOUDEST_DB) if number % 4 else QUIETEST_DB
        room = _room(chance, rng.uniform(0.1, 0.5)) if rng.random() < 0.5 else None

        def noise(samples: int) -> Floats:
            return _level(kind(chance, samples)) * gain(level_db)  # noqa: B023  used within this round

        soft = SOFT_SHARE if level_db < SOFT_NOISE_DB else 0.0
        speech = tuple(_said(rng, rng.choice(people), room, soft, noise) for _ in range(CLIPS))
        bursts = tuple(_burst(rng, chance, noise) for _ in range(BURSTS))
        gusts = tuple(_gust(rng, chance, noise) for _ in range(GUSTS))
        echoes: tuple[Pcm, ...] = ()
        if number % 8 in ECHOING:
            delay = int(rng.uniform(*ECHO_S) * RATE_HZ)
            echoes = tuple(_come_back(rng, clip.pcm, delay, room, noise) for clip in agents)
        still = noise(NOISE_FRAMES * FRAME).astype(np.float32)
        yield Surrounding(still, speech, bursts, gusts, echoes)


def _said(
    rng: random.Random,
    clip: Clip,
    room: Floats | None,
    soft_share: float,
    noise: Callable[[int], Floats],
) -> Heard:
    soft = rng.random() < soft_share
    sound = _in_room(clip.pcm * gain(rng.uniform(*(SOFT_DB if soft else LOUD_DB))), room)
    begin = rng.randrange(FRAME)  # a person knows no frames
    end_s = (begin + len(clip.pcm)) / RATE_HZ
    return Heard(_mixed(np.pad(sound, (begin, 0)), noise), end_s, soft)


def _come_back(
    rng: random.Random, pcm: Pcm, delay: int, room: Floats | None, noise: Callable[[int], Floats]
) -> Pcm:
    """Return an agents' clip as its agent hears it, from the frame on in which it is said."""
    return _mixed(np.pad(_in_room(pcm * gain(rng.uniform(*ECHO_DB)), room), (delay, 0)), noise)


def _in_room(sound: npt.NDArray[Any], room: Floats | None) -> npt.NDArray[Any]:
    if room is None:
        return sound
    from scipy import signal  # a second of imports, which reading this module does not need

    return signal.fftconvolve(sound, room)[: len(sound) + FRAME]


def _mixed(sound: npt.NDArray[Any], noise: Callable[[int], Floats]) -> Pcm:
    pcm = whole_frames(sound.astype(np.float32))
    return (pcm + noise(len(pcm))).clip(-1, 1).astype(np.float32)


def _gust(rng: random.Random, chance: np.random.Generator, noise: Callable[[int], Floats]) -> Heard:
    """Return noise that comes and goes: a tap, a chair, typing, a car, music next door."""
    seconds = rng.uniform(*GUST_S)
    samples, fade = int(seconds * RATE_HZ), int(GUST_FADE_S * RATE_HZ)
    sound = _level(rng.choice(GUST_KINDS)(chance, samples)) * gain(rng.uniform(*GUST_DB))
    ramp = np.linspace(0, 1, fade)
    sound[:fade] *= ramp
    sound[-fade:] *= ramp[::-1]
    return Heard(_mixed(np.pad(sound, (rng.randrange(FRAME), 0)), noise), seconds)


def _burst(
    rng: random.Random, chance: np.random.Generator, noise: Callable[[int], Floats]
) -> Heard:
    """Return a click or a cough: loud, and shorter than a word."""
    length = int(rng.choice((0.002, 0.01, 0.05, 0.12)) * RATE_HZ)
    sound = np.zeros(2 * FRAME)
    begin = rng.randrange(FRAME // 2)
    fading = np.exp(-np.linspace(0, 4, length))
    sound[begin : begin + length] = chance.standard_normal(length) * fading * rng.uniform(0.02, 0.3)
    return Heard(_mixed(sound, noise), length / RATE_HZ)


def _room(chance: np.random.Generator, seconds: float) -> Floats:
    """Return a room's answer to a click: the click, and noise that fades by 60 dB."""
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
    """Return traffic, wind or a fan: noise with less of high frequencies."""
    spectrum = np.fft.rfft(chance.standard_normal(samples))
    spectrum /= np.sqrt(np.arange(len(spectrum)) + 20.0)
    return np.fft.irfft(spectrum, samples)


def _hum(chance: np.random.Generator, samples: int) -> Floats:
    time = np.arange(samples) / RATE_HZ
    parts = (np.sin(2 * np.pi * 50 * n * time) / n for n in (1, 2, 3, 5, 7))
    return sum(parts) + 0.1 * chance.standard_normal(samples)


def _music(chance: np.random.Generator, samples: int) -> Floats:
    """Return chords that change twice a second."""
    length = RATE_HZ // 2
    time = np.arange(length) / RATE_HZ
    bell = np.exp(-3 * np.arange(length) / length)
    chords: list[Floats] = []
    for _ in range(-(-samples // length)):
        notes = 220 * 2 ** (chance.integers(0, 24, size=3) / 12)
        chords.append(bell * sum(np.sin(2 * np.pi * hz * time) for hz in notes))
    return np.concatenate(chords)[:samples]


def _clicks(chance: np.random.Generator, samples: int) -> Floats:
    """Return a keyboard: some ten clicks a second, all different."""
    sound = np.zeros(samples)
    length = RATE_HZ // 50
    fading = np.exp(-np.linspace(0, 6, length))
    for begin in chance.integers(0, samples - length, size=1 + samples * 10 // RATE_HZ):
        click = chance.standard_normal(length) * fading * chance.uniform(0.2, 1.0)
        sound[begin : begin + length] += click
    return sound


KINDS = (_white, _pink, _hum, _music)
GUST_KINDS = (*KINDS, _clicks)
