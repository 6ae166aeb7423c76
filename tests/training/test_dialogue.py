"""The dialogues of the training corpus keep the rules of a conversation."""

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from training.codec import HeardCodes, Place
from training.dialogue import ANSWERS, PAUSES, STOP, Composer, Dialogue, Said, spread
from training.repertoire import Use
from training.sound import Codes
from training.words import EPAD, PAD

FRAMES = 400
SILENCE = np.zeros(8, np.int64)
AGENT, PERSON, BURST, ECHO = 7, 9, 11, 13  # the codes of each kind of sound
LATE = 3  # frames after which the agent's voice comes back


def _codes(value: int, frames: int) -> Codes:
    """Return frames in which all codes have this value."""
    return np.full((8, frames), value)


def _said(use: Use, number: int) -> Said:
    """Return a line of one word for its use."""
    word = 100 + list(Use).index(use)
    return Said(_codes(AGENT, 12 + number), (word, 50, 51), (0, 4, 9), number)


LINES = {use: [_said(use, number) for number in range(3)] for use in Use}
PLACE = Place(
    _codes(0, 50),
    tuple(HeardCodes(_codes(PERSON, frames), frames - 1) for frames in (6, 20, 45)),
    (HeardCodes(_codes(BURST, 2), 1),),
    (HeardCodes(_codes(BURST, 30), 29),),
)


ECHOING = replace(PLACE, echoes=tuple(_codes(ECHO, 12 + number + LATE) for number in range(3)))


def _compose(seed: int, *, fresh: bool = True, place: Place = PLACE) -> Dialogue:
    """Return a dialogue."""
    composer = Composer(random.Random(seed), LINES, place, SILENCE, FRAMES)
    return composer.compose(fresh=fresh)


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Return where each run of flags begins and ends."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=60)
def test_the_agent_stops_when_a_person_speaks_over_it(seed: int, fresh: bool) -> None:
    """An agent that is interrupted sounds for at most `STOP` more frames."""
    made = _compose(seed, fresh=fresh)
    agent, person = (made.agent[0] == AGENT), (made.person[0] == PERSON)
    for begin, end in _runs(person):
        goes_on = person[max(0, begin - PAUSES[1]) : begin].any()  # a pause within a turn
        if begin and agent[begin - 1] and not goes_on:
            assert not agent[begin + STOP : min(end, begin + 20)].any()


@given(st.integers(0, 10_000))
@example(7329)  # its last turn ends after the dialogue, and its first part before
@settings(max_examples=60)
def test_answers_come_in_time(seed: int) -> None:
    """An answer begins 320 to 480 ms after the end of a turn, not after one of its parts."""
    made = _compose(seed)
    person = made.person[0] == PERSON
    turns = [
        (begin, end)
        for begin, end in _runs(person)
        if end < FRAMES - 20 and not person[end : end + PAUSES[1] + 1].any()
    ]
    if not turns or made.given:
        return
    starts = [begin for begin, _ in _runs(made.agent[0] == AGENT)]
    gaps = [start - end for _, end in turns for start in starts if start >= end]
    assert min(gaps, default=ANSWERS[0]) in range(0, ANSWERS[1] + 2)


@given(st.integers(0, 10_000))
@settings(max_examples=60)
def test_a_silent_agent_has_padding_as_text(seed: int) -> None:
    """While the agent is silent its text is padding, or the mark before a line's first word."""
    made = _compose(seed)
    silent = made.agent[0] != AGENT
    assert set(made.text[silent]) <= {PAD, EPAD}


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=60)
def test_over_loudspeakers_the_agent_hears_itself(seed: int, fresh: bool) -> None:
    """The agent's own voice comes back `LATE` frames later, where no person sounds."""
    made, alone = (_compose(seed, fresh=fresh, place=place) for place in (ECHOING, PLACE))
    person, heard = made.person[0], alone.person[0]
    sounds = made.agent[0] == AGENT
    lately = np.convolve(sounds, np.ones(LATE + 1))[:FRAMES] > 0  # now or up to LATE frames ago
    assert (heard[person != ECHO] == person[person != ECHO]).all()
    assert not (heard[person == ECHO] == PERSON).any()
    assert (lately == np.isin(person, (ECHO, PERSON, BURST)))[lately].all()
    assert lately[person == ECHO].all()


def test_the_start_of_a_greeting_is_not_learned() -> None:
    """The frames in which a greeting begins are given, so training does not count them."""
    greeting = 100 + list(Use).index(Use.GREETING)
    for seed in range(100):
        made = _compose(seed)
        for frame in np.flatnonzero(made.text == greeting):
            assert int(frame) in made.given


@given(st.lists(st.integers(0, 40), max_size=8).map(sorted))
def test_spread_leaves_a_frame_of_padding_after_each_word(frames: list[int]) -> None:
    """Words keep their order, and none moves to an earlier frame."""
    moved = spread(frames)
    assert all(new - old >= 2 for old, new in pairwise(moved))
    assert all(new >= old for new, old in zip(moved, frames, strict=True))
