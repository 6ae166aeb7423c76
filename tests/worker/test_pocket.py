"""The pocket Moshi in a room: people hear what they read, from track to subscriber.

Four people visit at once: one has three turns, silence and noise, each of the others interrupts an
answer; each test checks one rule of that.
Its limits allow for chance and for the gaps of a busy machine: `tests/engine/test_pocket.py` tests
the engine alone with fixed seeds, and `bench/talk.py` measures (docs/pocket.md).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from statistics import median

import numpy as np
import numpy.typing as npt
import pytest
import sphn

from harness.person import Person, eventually, person
from harness.rooms import asking_for, in_talk
from harness.stack import start_stack
from harness.timeline import PIECE_S, Flags
from training.ears import Ears, spelled, voice_of
from training.repertoire import PERSONA_VOICES, Use, lines
from training.sound import RATE_HZ, Pcm
from worker.engine.files import pocket

pytestmark = pytest.mark.alone

PERSONA = "astronaut"  # it does not greet
TURNS = ("NATM0", "NATF2", "NATM1")  # recordings that the person plays
LONG_TURN = TURNS  # one after the other: their answer is a line too long to have ended
MOST = len(TURNS) - 1
QUIET = 60  # pieces of 10 ms after which an answer is over
SPOKEN_S = 0.2  # of sound that make an answer
NOISE_DBFS = -50


@dataclass(frozen=True, slots=True)
class Turn:
    """The answer to one turn of the person."""

    answer_s: float  # from the turn's end
    answers: int
    sound: Pcm  # from the turn's end
    read: str


@dataclass(frozen=True, slots=True)
class Cut:
    """What happened when the person spoke over an answer."""

    silenced_s: float  # from the person's first word; 0: the answer had just ended
    read: str  # the transcript of the answer and of the next one


@dataclass(frozen=True, slots=True)
class Visit:
    """All that the person heard and read."""

    turns: list[Turn]
    cuts: list[Cut]
    idle_s: float  # for which the persona spoke in silence and noise

    @property
    def answered(self) -> list[Turn]:
        """Return the turns with an answer in the transcript."""
        return [turn for turn in self.turns if turn.read]


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Visit]:
    """Return a function that visits the product as `make run` starts it, once for each try."""

    @cache
    def visit(_number: int) -> Visit:
        folder, capacity = tmp_path_factory.mktemp("pocket"), 1 + len(TURNS)
        with start_stack(folder, model="pocket", capacity=capacity) as stack:
            return asyncio.run(_visit(stack.url))

    return visit


@pytest.fixture
def visit(visits: Callable[[int], Visit], request: pytest.FixtureRequest) -> Visit:
    """Return one visit for all tests, and another one for those that are run again."""
    return visits(getattr(request.node, "execution_count", 1))  # of pytest-rerunfailures


def test_turns_are_answered_in_time(visit: Visit) -> None:
    """The median answer comes within 1.5 s of the end of the turn."""
    assert len(visit.answered) >= MOST
    assert median(turn.answer_s for turn in visit.answered) < 1.5


def test_a_turn_is_answered_once(visit: Visit) -> None:
    """Between a turn's end and the next turn there are not two answers."""
    assert [turn.answers for turn in visit.turns if turn.answers > 1] == []


def test_answers_are_understood(visit: Visit) -> None:
    """For most answers a recogniser hears the sentence that the transcript has."""
    ears = Ears([line.text for line in lines()])
    heard = [(ears.hear(turn.sound) or "", turn.read) for turn in visit.answered]
    assert sum(spelled(sound) == spelled(read) for sound, read in heard) >= MOST, heard


def test_answers_have_the_personas_voice(visit: Visit) -> None:
    """All answers but one at most have the pitch of the persona's voice."""
    voices = [voice_of(turn.sound) for turn in visit.answered]
    assert voices.count(PERSONA_VOICES[PERSONA]) >= len(voices) - 1, voices


def test_speech_over_an_answer_ends_it(visit: Visit) -> None:
    """Speech over most answers ends them within a second, in the middle of a sentence."""
    silenced = [cut.silenced_s for cut in visit.cuts]
    assert sum(seconds <= 1.0 for seconds in silenced) >= MOST, silenced
    read = [spelled(cut.read) for cut in visit.cuts]
    assert sum(map(_broken_off, read)) >= MOST, read


def test_silence_and_noise_get_no_answer(visit: Visit) -> None:
    """In three seconds of silence and three of soft noise the persona does not speak."""
    assert visit.idle_s == 0


def _broken_off(read: str) -> bool:
    """Return whether two words of a long line were said, and not the whole line."""
    long = [spelled(line.text) for line in lines() if line.use is Use.LONG]
    begun = [line for line in long if " ".join(line.split()[:2]) in read]
    return any(line not in read for line in begun)


async def _visit(url: str) -> Visit:
    """Visit four times at once."""
    (turns, idle_s), *cuts = await asyncio.gather(_talk(url), *(_interrupt(url) for _ in TURNS))
    return Visit(turns, cuts, idle_s)


@asynccontextmanager
async def _visitor(url: str) -> AsyncGenerator[Person]:
    """Join a room of one's own, and wait until the persona is silent."""
    async with person(url, asking_for(PERSONA)) as ann:
        ann.keep_chunks = 1500
        await in_talk(ann)
        await eventually(lambda: ann.personas[0].identity in ann.heard, "its track")
        await _answered(ann)
        yield ann


async def _talk(url: str) -> tuple[list[Turn], float]:
    """Have turns; return them, and how long the persona spoke in silence and noise after them."""
    async with _visitor(url) as ann:
        return [await _turn(ann, voice) for voice in TURNS], await _idle_s(ann)


async def _interrupt(url: str) -> Cut:
    """Speak over the second answer: the first one is a greeting, and short."""
    async with _visitor(url) as ann:
        await _turn(ann, TURNS[0])
        return await _cut(ann)


async def _turn(ann: Person, voice: str) -> Turn:
    """Say something, and hear the answer to its end."""
    begin = await _say(ann, voice)
    read = await _answered(ann)
    who = ann.personas[0].identity
    sound = np.concatenate(ann.heard[who][begin - ann.timeline.now :])
    answers = _answers(ann.timeline.voiced(who, begin))
    return Turn(answers[0][0] * PIECE_S, len(answers), sound, read)


async def _cut(ann: Person) -> Cut:
    """Say something long, and speak over the answer."""
    await _say(ann, *LONG_TURN)
    begin = ann.timeline.now
    await _say(ann, TURNS[0])
    read = await _answered(ann)
    voiced = ann.timeline.voiced(ann.personas[0].identity, begin)
    first = _answers(voiced)[0]
    return Cut(first[-1] * PIECE_S if first[0] < QUIET else 0.0, read)


async def _idle_s(ann: Person) -> float:
    """Be silent, then noisy; return for how long the persona spoke meanwhile."""
    noise = np.random.default_rng(3).standard_normal(30 * RATE_HZ) * 10 ** (NOISE_DBFS / 20)
    begin = ann.timeline.now
    ann.speech = np.concatenate([np.zeros(3 * RATE_HZ), noise]).astype(np.float32)
    await eventually(lambda: ann.timeline.now > begin + 600, "six seconds")
    return ann.timeline.spoke_s(ann.personas[0].identity, begin)


async def _say(ann: Person, *voices: str) -> int:
    """Play recordings and wait for the answer to begin; return the piece at which they ended."""
    who = ann.personas[0].identity
    files = [str(pocket.FOLDER / "voices" / f"{voice}.wav") for voice in voices]
    ann.speech = np.concatenate([sphn.read(file)[0][0] for file in files])
    await eventually(lambda: ann.speech is None, "it is said")
    begin = ann.timeline.now
    await eventually(lambda: ann.timeline.spoke_s(who, begin) > SPOKEN_S, "an answer")
    return begin


async def _answered(ann: Person) -> str:
    """Wait until the answer is over; return all that was read since the last time."""
    who = ann.personas[0].identity

    def silent() -> bool:
        now = ann.timeline.now
        return now > QUIET and not ann.timeline.voiced(who, now - QUIET).any()

    await eventually(silent, "silence")
    await asyncio.sleep(0.8)  # a segment is closed after a pause
    read = " ".join(each.text.strip() for each in ann.words)
    ann.words.clear()
    return read


def _answers(voiced: Flags) -> list[npt.NDArray[np.int64]]:
    """Return the pieces in which each answer sounds: a pause separates answers, clicks are none."""
    at = np.flatnonzero(voiced)
    parts = np.split(at, np.flatnonzero(np.diff(at) > QUIET) + 1)
    return [part for part in parts if len(part) > SPOKEN_S / PIECE_S]
