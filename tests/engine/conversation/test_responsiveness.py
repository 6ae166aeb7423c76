"""Pauses, and models that no longer answer."""

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
    slots: Responsiveness,
    frames: int,
    loudness: float,
    text: int = PAD,
    chance: float = 0.0,
    hushed: Sequence[int] = (),
) -> None:
    """Let two slots run; the second always hears silence, and writes a word that it likes."""
    for _ in range(frames):
        texts, chances = np.array([text, WORD]), np.array([chance, 1.0])
        slots.watch(heard(loudness, 0.0), texts, chances, BOTH, hushed)


def watched(frames: int, loudness: float, text: int) -> Responsiveness:
    """Two slots after so many frames."""
    slots = Responsiveness(2, (PAD, END_OF_PAD))
    go_on(slots, frames, loudness, text)
    return slots


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
    slots = watched(MUTE - QUIET_FRAMES, 0.1, PAD)
    go_on(slots, QUIET_FRAMES, 0.0, chance=chance)
    return slots


def test_who_gives_words_no_chance_is_lost() -> None:
    """A slot is lost that was mute and spoken to for so long, in a quiet, without any chance."""
    slots = listening()

    assert slots.unresponsive(MUTE, SPOKEN) == [0]
    assert slots.unresponsive(MUTE + 1, SPOKEN) == []
    assert slots.unresponsive(MUTE, MUTE - QUIET_FRAMES + 1) == []


def test_a_sound_listener_is_not_lost() -> None:
    """A model that gives words a chance in a single frame is responsive, however silent."""
    assert listening(chance=LEAST_CHANCE).unresponsive(MUTE, SPOKEN) == []
    assert listening(chance=LEAST_CHANCE / 2).unresponsive(MUTE, SPOKEN) == [0]

    slots = listening()
    go_on(slots, 1, 0.0, chance=0.01)
    go_on(slots, 10 * MUTE, 0.0)
    assert slots.unresponsive(MUTE, SPOKEN) == []


def test_who_is_not_left_a_quiet_is_not_lost() -> None:
    """A television that goes on, and silence in which nobody speaks, ask for no answer."""
    assert watched(10 * MUTE, 0.1, PAD).unresponsive(MUTE, SPOKEN) == []
    assert watched(10 * MUTE, 0.0, PAD).unresponsive(MUTE, SPOKEN) == []


def test_a_word_begins_the_count_anew() -> None:
    """One word is an answer: what came before it counts no more, chance included."""
    slots = listening()
    go_on(slots, 1, 0.1, WORD, chance=0.9)
    assert (slots.unresponsive(MUTE, SPOKEN), slots.mute_frames(0)) == ([], 0)
    go_on(slots, MUTE - QUIET_FRAMES, 0.1)
    go_on(slots, QUIET_FRAMES, 0.0)
    assert slots.unresponsive(MUTE, SPOKEN) == [0]


def test_who_is_hushed_is_not_lost() -> None:
    """While silence is forced nothing counts, and when it ends the count begins anew."""
    slots = listening()
    go_on(slots, 1, 0.0, hushed=[0])
    assert slots.unresponsive(MUTE, SPOKEN) == []
    go_on(slots, MUTE - QUIET_FRAMES, 0.1)
    go_on(slots, QUIET_FRAMES, 0.0)
    assert slots.unresponsive(MUTE, SPOKEN) == [0]


def test_masked_slots_keep_their_streaks() -> None:
    """A slot that did not run heard nothing and said nothing."""
    slots = watched(PAUSE_FRAMES, 0.0, PAD)
    slots.watch(heard(0.1, 0.0), np.array([WORD, WORD]), np.ones(2), np.array([False, True]))

    assert slots.pauses(0)


def test_streaks_follow_a_move_and_end_with_a_session() -> None:
    """A session that moves keeps its streaks; a new one begins without."""
    slots = listening()
    slots.move(0, 1)
    slots.clear(0)

    assert (slots.pauses(0), slots.pauses(1)) == (False, True)
    assert slots.unresponsive(MUTE, SPOKEN) == [1]
