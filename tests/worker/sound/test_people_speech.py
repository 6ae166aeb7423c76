"""When people speak and pause, by the real VAD over recorded speech."""

import asyncio

import numpy as np

from harness.recordings import RATE_HZ, recording
from worker.sound.activity import PAUSE_S, PeopleSpeech

FRAME = 1920
WITHIN_S = 30.0


async def test_a_pause_is_told_before_the_end() -> None:
    """A persona may answer after 0.3 s; speech that goes on after a pause is told too."""
    told: list[str] = []
    ended = asyncio.Event()

    def on_end(_: float) -> None:
        told.append("end")
        ended.set()

    speech = PeopleSpeech(
        lambda: told.append("start"), on_end, lambda on: told.append("pause" if on else "on")
    )
    said = recording("opening")
    middle = len(said) // 2
    broken = np.concatenate(
        [said[:middle], np.zeros(int(1.4 * PAUSE_S * RATE_HZ), np.float32), said[middle:]]
    )
    for frame in broken[: len(broken) // FRAME * FRAME].reshape(-1, FRAME):
        speech.push(frame)
    await asyncio.wait_for(ended.wait(), WITHIN_S)
    await speech.aclose()

    assert told[0] == "start"
    assert told[-2:] == ["pause", "end"]
    assert told[1:-1] == ["pause", "on"] * (len(told) // 2 - 1) + ["pause"], told
    assert len(told) >= 5, "the pause within the sentence is one"
