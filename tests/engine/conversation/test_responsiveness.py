"""What a slot's last frames show."""

from collections.abc import Sequence

import numpy as np

from worker.engine.arrays import Pcm
from worker.engine.conversation.responsiveness import (
    LEAST_CHANCE,
    PAUSE_FRAMES,
    QUIET_FRAMES,
    Responsiveness,
)

PAD, END_OF_PAD, WORD = 3, 0, 17
BOTH = np.array([True, True])


def heard(*loudness: float) -> Pcm:
    """One frame for each slot, of constant loudness."""
    return np.repeat(np.array(loudness, dtype=np.float32)[:, None], 1920, axis=1)


def go_on(
    vitals: Responsiveness,
    frames: int,
    loudness: float,
    text: int = PAD,
    chance: float = 0.0,
    hushed: Sequence[int] = (),
) -> None:
    """Let two slots run; the second always hears silence, and writes a word that it likes."""
    for _ in range(frames):
        texts, chances = np.array([text, WORD]), np.array([chance, 1.0])
        vitals.watch(heard(loudness, 0.0), texts, chances, BOTH, hushed)


def watched(frames: int, loudness: float, text: int) -> Responsiveness:
    """Two slots after so many frames."""
    vitals = Responsiveness(2, (PAD, END_OF_PAD))
    go_on(vitals, frames, loudness, text)
    return vitals


def test_silence_of_both_is_a_pause() -> None:
    """A pause begins after some frames without a word and without a voice."""
    assert not watched(PAUSE_FRAMES - 1, 0.0, PAD).pauses(0)
    assert watched(PAUSE_FRAMES, 0.0, END_OF_PAD).pauses(0)


def test_a_word_or_a_voice_is_no_pause() -> None:
    """While the model writes words or somebody speaks to it there is no pause."""
    assert not watched(PAUSE_FRAMES, 0.0, WORD).pauses(0)
    assert not watched(PAUSE_FRAMES, 0.1, PAD).pauses(0)


MUTE, SPOKEN = 2 * QUIET_FRAMES, 5  # frames without a word, and of speech, that the tests ask for


def listening(chance: float = 0.0) -> Responsiveness:
    """A slot that was spoken to for long and said nothing; then a quiet in which it weighs to."""
    vitals = watched(MUTE - QUIET_FRAMES, 0.1, PAD)
    go_on(vitals, QUIET_FRAMES, 0.0, chance=chance)
    return vitals


def test_who_gives_words_no_chance_is_lost() -> None:
    """A slot is lost that was mute and spoken to for so long, in a quiet, without any chance."""
    vitals = listening()

    assert vitals.lost(MUTE, SPOKEN) == [0]
    assert vitals.lost(MUTE + 1, SPOKEN) == []
    assert vitals.lost(MUTE, MUTE - QUIET_FRAMES + 1) == []


def test_a_sound_listener_is_not_lost() -> None:
    """Who weighs a word in a single frame, however long it says none, is sound."""
    assert listening(chance=LEAST_CHANCE).lost(MUTE, SPOKEN) == []
    assert listening(chance=LEAST_CHANCE / 2).lost(MUTE, SPOKEN) == [0]

    vitals = listening()
    go_on(vitals, 1, 0.0, chance=0.01)
    go_on(vitals, 10 * MUTE, 0.0)
    assert vitals.lost(MUTE, SPOKEN) == []


def test_who_is_not_left_a_quiet_is_not_lost() -> None:
    """A television that goes on, and silence in which nobody speaks, ask for no answer."""
    assert watched(10 * MUTE, 0.1, PAD).lost(MUTE, SPOKEN) == []
    assert watched(10 * MUTE, 0.0, PAD).lost(MUTE, SPOKEN) == []


def test_a_word_begins_the_count_anew() -> None:
    """One word is an answer: what came before it counts no more, chance included."""
    vitals = listening()
    go_on(vitals, 1, 0.1, WORD, chance=0.9)
    assert (vitals.lost(MUTE, SPOKEN), vitals.mute_frames(0)) == ([], 0)
    go_on(vitals, MUTE - QUIET_FRAMES, 0.1)
    go_on(vitals, QUIET_FRAMES, 0.0)
    assert vitals.lost(MUTE, SPOKEN) == [0]


def test_who_is_hushed_is_not_lost() -> None:
    """While silence is forced nothing counts, and when it ends the count begins anew."""
    vitals = listening()
    go_on(vitals, 1, 0.0, hushed=[0])
    assert vitals.lost(MUTE, SPOKEN) == []
    go_on(vitals, MUTE - QUIET_FRAMES, 0.1)
    go_on(vitals, QUIET_FRAMES, 0.0)
    assert vitals.lost(MUTE, SPOKEN) == [0]


def test_masked_slots_keep_their_streaks() -> None:
    """A slot that did not run heard nothing and said nothing."""
    vitals = watched(PAUSE_FRAMES, 0.0, PAD)
    vitals.watch(heard(0.1, 0.0), np.array([WORD, WORD]), np.ones(2), np.array([False, True]))

    assert vitals.pauses(0)


def test_streaks_follow_a_move_and_end_with_a_session() -> None:
    """A session that moves keeps its streaks; a new one begins without."""
    vitals = listening()
    vitals.move(0, 1)
    vitals.clear(0)

    assert (vitals.pauses(0), vitals.pauses(1)) == (False, True)
    assert vitals.lost(MUTE, SPOKEN) == [1]
