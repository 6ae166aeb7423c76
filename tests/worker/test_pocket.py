"""The pocket Moshi in a room: what a person hears is what they read, from track to subscriber."""

import asyncio
from collections.abc import Generator

import numpy as np
import pytest
import sphn

from tests.person import Person, eventually, person
from tests.stack import Stack, start_stack
from tests.worker.rooms import all_free, asking_for, in_talk
from training.ears import Ears, spelled, voice_of
from training.repertoire import PERSONA_VOICES, lines
from training.sound import RATE_HZ
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
    """Turns are answered in the persona's voice, and heard as the transcript has them.

    How many is chance, and a busy machine's gaps: tests/engine/test_pocket.py asks for most of
    them with fixed seeds, `bench/talk.py` measures; by luck not one of 80 would be right.
    """
    ears = Ears([line.text for line in lines()])
    answered = understood = own_voice = 0
    async with person(stack.url, asking_for("astronaut")) as ann:
        ann.keep_chunks = 1500
        await in_talk(ann)
        await _quiet(ann)
        for voice in TURNS:
            sound, read = await _turn(ann, voice)
            heard = await asyncio.to_thread(ears.hear, sound)
            answered += bool(read)
            own_voice += voice_of(sound) == PERSONA_VOICES["astronaut"]
            understood += heard is not None and spelled(heard) == spelled(read)
    assert answered >= len(TURNS) - 1
    assert understood >= 1, f"{understood} of {answered}"
    assert own_voice >= answered - 1
    await all_free(stack)


async def test_who_speaks_over_it_silences_it(stack: Stack) -> None:
    """Speech over an answer cuts it off: what it said is no whole sentence, most of the time."""
    whole = [spelled(line.text) for line in lines()]
    cut = 0
    async with person(stack.url, asking_for("assistant")) as ann:
        await in_talk(ann)
        await _quiet(ann)
        for voice in TURNS:
            await _say(ann, voice)
            await _say(ann, TURNS[0])
            read = spelled(await _answered(ann))
            cut += not any(read.startswith(sentence) for sentence in whole)
    assert cut >= len(TURNS) - 1
    await all_free(stack)


async def test_silence_and_noise_are_no_reason_to_speak(stack: Stack) -> None:
    """Three seconds of silence and three of soft noise that goes on pass without a word."""
    noise = np.random.default_rng(3).standard_normal(30 * RATE_HZ) * 10 ** (-50 / 20)
    async with person(stack.url, asking_for("teacher")) as ann:
        await _greeted(ann)
        begin = ann.timeline.now
        ann.speech = np.concatenate([np.zeros(3 * RATE_HZ), noise]).astype(np.float32)
        await eventually(lambda: ann.timeline.now > begin + 600, "six seconds")
        assert ann.timeline.spoke_s(ann.personas[0].identity, begin) == 0
    await all_free(stack)


async def _greeted(ann: Person) -> None:
    """Wait until the persona has said its greeting."""
    await in_talk(ann)
    who = ann.personas[0].identity
    await eventually(lambda: ann.timeline.spoke_s(who) > 0.2, "the greeting")
    await _answered(ann)


async def _turn(ann: Person, voice: str) -> tuple[np.ndarray, str]:
    """Say something; what is heard of the answer, and what the transcript says."""
    begin = await _say(ann, voice)
    read = await _answered(ann)
    who = ann.personas[0].identity
    return np.concatenate(ann.heard[who][begin - ann.timeline.now :]), read


async def _say(ann: Person, voice: str) -> int:
    """Say something and wait for the answer to begin; the piece in which it was said."""
    who = ann.personas[0].identity
    ann.speech = _recording(voice)
    await eventually(lambda: ann.speech is None, "it is said")
    begin = ann.timeline.now
    await eventually(lambda: ann.timeline.spoke_s(who, begin) > 0.2, "an answer")
    return begin


async def _answered(ann: Person) -> str:
    """Wait until the answer is over; all that was read since the last time."""
    await _quiet(ann)
    await asyncio.sleep(0.8)  # a segment is closed after a pause
    read = " ".join(each.text.strip() for each in ann.words)
    ann.words.clear()
    return read


async def _quiet(ann: Person) -> None:
    """Wait until nothing has been heard of the persona for a while."""
    who = ann.personas[0].identity
    await eventually(lambda: who in ann.heard, "its track")

    def silent() -> bool:
        now = ann.timeline.now
        return now > QUIET and not ann.timeline.voiced(who, now - QUIET).any()

    await eventually(silent, "silence")
