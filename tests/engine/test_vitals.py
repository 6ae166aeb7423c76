"""What a slot's last frames show."""

import numpy as np

from worker.engine.model import Pcm
from worker.engine.vitals import PAUSE_FRAMES, QUIET_FRAMES, Vitals

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


def go_on(vitals: Vitals, frames: int, loudness: float, text: int = PAD, **more: list[int]) -> None:
    """The same two slots some frames later."""
    for _ in range(frames):
        vitals.watch(heard(loudness, 0.0), np.array([text, WORD]), BOTH, **more)


def test_a_turn_without_an_answer_starves() -> None:
    """A slot starves that was spoken to for long enough, once a quiet has followed."""
    vitals = watched(5, 0.1, PAD)
    go_on(vitals, QUIET_FRAMES - 1, 0.0)
    assert vitals.starved(5) == []
    go_on(vitals, 1, 0.0)
    assert vitals.starved(5) == [0]
    assert vitals.starved(6) == []


def test_noise_that_goes_on_starves_nobody() -> None:
    """Who is never left a quiet to answer in does not starve, nor who was not spoken to."""
    assert watched(10 * QUIET_FRAMES, 0.1, PAD).starved(5) == []
    assert watched(10 * QUIET_FRAMES, 0.0, PAD).starved(5) == []


def test_a_word_ends_starving() -> None:
    """One word is an answer: the count begins anew."""
    vitals = watched(5, 0.1, PAD)
    go_on(vitals, QUIET_FRAMES, 0.0)
    go_on(vitals, 1, 0.0, WORD)
    assert (vitals.starved(5), vitals.ignores(0)) == ([], False)
    go_on(vitals, 4, 0.1)
    go_on(vitals, QUIET_FRAMES, 0.0)
    assert (vitals.starved(5), vitals.starved(4)) == ([], [0])


def test_who_is_hushed_does_not_starve() -> None:
    """While silence is forced nothing counts, and when it ends the count begins anew."""
    vitals = watched(4, 0.1, PAD)
    go_on(vitals, 5, 0.1, hushed=[0])
    go_on(vitals, 4, 0.1)
    go_on(vitals, QUIET_FRAMES, 0.0)

    assert (vitals.starved(5), vitals.starved(4)) == ([], [0])


def test_help_is_remembered_until_a_word() -> None:
    """A slot that was helped starves only if it is spoken to again, and is then known for it."""
    vitals = watched(5, 0.1, PAD)
    go_on(vitals, QUIET_FRAMES, 0.0)
    vitals.help(0)
    assert (vitals.starved(5), vitals.was_helped(0)) == ([], True)
    go_on(vitals, 5, 0.1)
    go_on(vitals, QUIET_FRAMES, 0.0)
    assert (vitals.starved(5), vitals.was_helped(0)) == ([0], True)
    go_on(vitals, 1, 0.0, WORD)
    assert not vitals.was_helped(0)


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
