"""Speech in noise on its way through a room and back, found by correlation."""

import asyncio

import numpy as np

from harness.person import Person, eventually, person
from harness.recordings import RATE_HZ, Sound, speech
from harness.rooms import all_free, in_talk
from harness.stack import Stack

SNRS_DB = (0.0, 10.0, 20.0)
SPEECH_S = 1.2
PARTS = 4
PIECES = 280  # 2.8 s of sound, of which a person keeps 3
AGAIN = 5  # attempts: a busy machine leaves out frames


def noisy(sound: Sound, snr_db: float) -> Sound:
    """Add white noise that is some dB below the sound, at the same loudness."""
    power = float(np.mean(sound**2)) / 10 ** (snr_db / 10)
    mixed = sound + np.random.default_rng(2).normal(scale=power**0.5, size=len(sound))
    return (mixed * 0.5 / max(0.5, float(np.abs(mixed).max()))).astype(np.float32)


def found(said: Sound, heard: Sound) -> tuple[float, float]:
    """Return the lag in seconds at which speech correlates best with what was heard, and how well.

    Both are medians over parts of the speech: a busy machine leaves out a frame, and later parts
    are late.
    """
    pieces = np.array_split(said, PARTS)
    places = [_place(piece, heard) for piece in pieces]
    lags_s = [lag_s - index * SPEECH_S / PARTS for index, (lag_s, _) in enumerate(places)]
    return float(np.median(lags_s)), float(np.median([match for _, match in places]))


def _place(said: Sound, heard: Sound) -> tuple[float, float]:
    """Return the lag and correlation of one part."""
    size = len(heard) + len(said)
    match = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size)), size)
    match = match[: len(heard) - len(said)]
    lag = int(np.argmax(match))
    there = heard[lag : lag + len(said)]
    norm = float(np.linalg.norm(there) * np.linalg.norm(said)) + 1e-9
    return lag / RATE_HZ, float(match[lag]) / norm


async def say(someone: Person, sound: Sound) -> Sound:
    """Say a sound; return what came back from that moment on."""
    begins = someone.timeline.now
    someone.speech = sound
    await eventually(lambda: someone.timeline.now >= begins + PIECES, "it is said and heard")
    who = someone.personas[0].identity
    return np.concatenate(someone.heard[who][-(someone.timeline.now - begins) :])


async def said_and_found(stack: Stack, snr_db: float) -> tuple[float, float, float]:
    """Return lag and correlation of speech in noise, and the correlation of other speech."""
    clean, other = speech(SPEECH_S, "station"), speech(SPEECH_S, "opening")
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
    """Return the least correlation: that of noise alone, less a fifth for codec and jitter."""
    return 0.8 / float(np.sqrt(1.0 + 10 ** (-snr_db / 10)))


async def test_speech_in_noise_comes_back(roomy: Stack, measured: list[str]) -> None:
    """Speech 0, 10 and 20 dB above noise is found in the echo, at least one frame later."""
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
