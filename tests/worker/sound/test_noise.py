"""Speech in noise on its way through a room and back, found again by correlation."""

import asyncio

import numpy as np
import pytest

from harness.babble import RATE_HZ, Sound, babble, noisy
from harness.person import Person, eventually, person
from harness.stack import Stack
from tests.worker.rooms import all_free, in_talk

pytestmark = pytest.mark.alone

SNRS_DB = (0.0, 10.0, 20.0)
SPEECH_S = 1.2
PARTS = 4
PIECES = 280  # 2.8 s of sound, of which a person keeps 3
AGAIN = 5  # times that it may be said, where a busy machine tore it


def found(speech: Sound, heard: Sound) -> tuple[float, float]:
    """Where speech lies in what was heard: its lag in seconds, its correlation there.

    Of pieces, the median: a busy machine leaves out a frame, and the rest comes later.
    """
    pieces = np.array_split(speech, PARTS)
    places = [_place(piece, heard) for piece in pieces]
    lags_s = [lag_s - index * SPEECH_S / PARTS for index, (lag_s, _) in enumerate(places)]
    return float(np.median(lags_s)), float(np.median([match for _, match in places]))


def _place(speech: Sound, heard: Sound) -> tuple[float, float]:
    size = len(heard) + len(speech)
    match = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(speech, size)), size)
    match = match[: len(heard) - len(speech)]
    lag = int(np.argmax(match))
    there = heard[lag : lag + len(speech)]
    norm = float(np.linalg.norm(there) * np.linalg.norm(speech)) + 1e-9
    return lag / RATE_HZ, float(match[lag]) / norm


async def say(somebody: Person, speech: Sound) -> Sound:
    """Say it; give what came back from that moment on."""
    begins = somebody.timeline.now
    somebody.speech = speech
    await eventually(lambda: somebody.timeline.now >= begins + PIECES, "it is said and heard")
    who = somebody.personas[0].identity
    return np.concatenate(somebody.heard[who][-(somebody.timeline.now - begins) :])


async def said_and_found(stack: Stack, snr_db: float) -> tuple[float, float, float]:
    """Lag and correlation of speech in noise, and the correlation of what was not said."""
    clean, other = babble(SPEECH_S, seed=3), babble(SPEECH_S, seed=4)
    async with person(stack.url) as ann:
        await in_talk(ann)
        await eventually(lambda: bool(ann.heard), "the voice is there")
        for _ in range(AGAIN):
            heard = await say(ann, noisy(clean, snr_db))
            lag_s, match = found(clean, heard)
            if match > expected(snr_db):
                break
        return lag_s, match, found(other, heard)[1]


def expected(snr_db: float) -> float:
    """What noise alone leaves of the correlation, less a fifth for codec and jitter."""
    return 0.8 / float(np.sqrt(1.0 + 10 ** (-snr_db / 10)))


async def test_speech_in_noise_comes_back(roomy: Stack, measured: list[str]) -> None:
    """Speech is found in what comes back, at 0, 10 and 20 dB above noise, once and later."""
    results = await asyncio.gather(*(said_and_found(roomy, snr_db) for snr_db in SNRS_DB))
    for snr_db, (lag_s, match, other) in zip(SNRS_DB, results, strict=True):
        measured.append(
            f"speech {snr_db:g} dB above noise: lag {lag_s * 1000:.0f} ms, "
            f"correlation {match:.2f}, of other speech {other:.2f}"
        )

        assert match > expected(snr_db)
        assert other < 0.45
        assert lag_s > 0.08  # no sooner than a frame
    await all_free(roomy)
