"""What a slot's last frames show."""

import numpy as np

from worker.engine.model import Pcm
from worker.engine.vitals import PAUSE_FRAMES, Vitals

PAD, END_OF_PAD, WORD = 3, 0, 17
BOTH = np.array([True, True])


def heard(*loudness: float) -> Pcm:
    """One frame for each slot, of constant loudness."""
    return np.repeat(np.array(loudness, dtype=np.float32)[:, None], 1920, axis=1)


def watched(frames: int, loudness: float, text: int) -> Vitals:
    """Two slots, the second of which always hears silence and writes words."""
    vitals = Vitals(2, (PAD, END_OF_PAD))
    for _ in range(frames):
        vitals.watch(heard(loudness, 0.0), np.array([text, WORD]), BOTH)
    return vitals


def test_silence_of_both_is_a_pause() -> None:
    """A pause begins after some frames without a word and without a voice."""
    assert not watched(PAUSE_FRAMES - 1, 0.0, PAD).pauses(0)
    assert watched(PAUSE_FRAMES, 0.0, END_OF_PAD).pauses(0)


def test_a_word_or_a_voice_is_no_pause() -> None:
    """While the model writes words or somebody speaks to it there is no pause."""
    assert not watched(PAUSE_FRAMES, 0.0, WORD).pauses(0)
    assert not watched(PAUSE_FRAMES, 0.1, PAD).pauses(0)


def test_who_gets_no_answer_is_starved() -> None:
    """A slot starves by frames in which it is spoken to and writes nothing; silence counts not."""
    assert watched(5, 0.1, PAD).starved(5) == [0]
    assert watched(4, 0.1, PAD).starved(5) == []
    assert watched(9, 0.0, PAD).starved(5) == []


def test_a_word_ends_starving() -> None:
    """One word is an answer: the count begins anew."""
    vitals = watched(4, 0.1, PAD)
    vitals.watch(heard(0.1, 0.0), np.array([WORD, WORD]), BOTH)
    vitals.watch(heard(0.1, 0.0), np.array([PAD, WORD]), BOTH)

    assert vitals.starved(2) == []
    assert vitals.starved(1) == [0]


def test_masked_slots_keep_their_streaks() -> None:
    """A slot that did not run heard nothing and said nothing."""
    vitals = watched(PAUSE_FRAMES, 0.0, PAD)
    vitals.watch(heard(0.1, 0.0), np.array([WORD, WORD]), np.array([False, True]))

    assert vitals.pauses(0)


def test_streaks_follow_a_move_and_end_with_a_session() -> None:
    """A session that moves keeps its streaks; a new one begins without."""
    vitals = watched(PAUSE_FRAMES, 0.0, PAD)
    vitals.move(0, 1)
    vitals.clear(0)

    assert (vitals.pauses(0), vitals.pauses(1)) == (False, True)
