"""The pocket Moshi in a room: what a person hears is what they read, from track to subscriber."""

import asyncio
from collections.abc import Generator

import numpy as np
import pytest
import sphn

from tests.person import Person, eventually, person
from tests.stack import Stack, start_stack
from tests.worker.rooms import all_free, asking_for, in_talk
from training.ears import Ears, spelled
from training.repertoire import lines
from worker.engine import pocket

TURNS = ("NATM0", "NATF2", "NATM1")  # recordings that the person plays
QUIET = 60  # pieces of 10 ms: its answer is over


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """The product as `make run` starts it, with two places."""
    with start_stack(tmp_path_factory.mktemp("pocket"), model="pocket", capacity=2) as running:
        yield running


def _recording(name: str) -> np.ndarray:
    return sphn.read(str(pocket.FOLDER / "voices" / f"{name}.wav"))[0][0]


async def test_somebody_who_speaks_gets_an_answer_that_is_understood(
    stack: Stack,
) -> None:
    """Turns are answered, and a recogniser hears whole sentences as the transcript has them.

    How many is chance, and a busy machine's gaps: tests/engine/test_pocket.py asks for most of
    them with fixed seeds, `bench/talk.py` measures; by luck not one of 80 would be right.
    """
    ears = Ears([line.text for line in lines()])
    answered = understood = 0
    async with person(stack.url, asking_for("astronaut")) as ann:
        ann.keep_chunks = 1500
        await in_talk(ann)
        await _quiet(ann)
        for voice in TURNS:
            heard, read = await _turn(ann, voice, ears)
            answered += bool(read)
            understood += heard is not None and spelled(heard) == spelled(read)
    assert answered >= len(TURNS) - 1
    assert understood >= 1, f"{understood} of {answered}"
    await all_free(stack)


async def _turn(ann: Person, voice: str, ears: Ears) -> tuple[str | None, str]:
    """Say something; what the recogniser hears of the answer, and what the transcript says."""
    who = ann.personas[0].identity
    ann.words.clear()
    ann.speech = _recording(voice)
    await eventually(lambda: ann.speech is None, "it is said")
    begin = ann.timeline.now
    await eventually(lambda: ann.timeline.spoke_s(who, begin) > 0.2, "an answer")
    await _quiet(ann)
    await asyncio.sleep(0.8)  # a segment is closed after a pause
    sound = np.concatenate(ann.heard[who][begin - ann.timeline.now :])
    read = " ".join(each.text.strip() for each in ann.words if each.identity == who)
    return await asyncio.to_thread(ears.hear, sound), read


async def _quiet(ann: Person) -> None:
    """Wait until nothing has been heard of the persona for a while."""
    who = ann.personas[0].identity
    await eventually(lambda: who in ann.heard, "its track")

    def silent() -> bool:
        now = ann.timeline.now
        return now > QUIET and not ann.timeline.voiced(who, now - QUIET).any()

    await eventually(silent, "silence")
