"""When a slot pauses, and when its model no longer answers."""

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
    """Return one frame for each slot, of constant loudness."""
    return np.repeat(np.array(loudness, dtype=np.float32)[:, None], 1920, axis=1)


def go_on(
    slots: Responsiveness,
    frames: int,
    loudness: float,
    text: int = PAD,
    chance: float = 0.0,
    hushed: Sequence[int] = (),
) -> None:
    """Run two slots; the second always hears silence, and writes a word with a chance of 1."""
    for _ in range(frames):
        texts, chances = np.array([text, WORD]), np.array([chance, 1.0])
        slots.watch(heard(loudness, 0.0), texts, chances, BOTH, hushed)


def watched(frames: int, loudness: float, text: int) -> Responsiveness:
    """Return two slots after so many frames."""
    slots = Responsiveness(2, (PAD, END_OF_PAD))
    go_on(slots, frames, loudness, text)
    return slots


def test_a_pause_needs_some_frames_without_word_and_voice() -> None:
    """A slot pauses after `PAUSE_FRAMES` frames without a word or a voice, and not before."""
    assert not watched(PAUSE_FRAMES - 1, 0.0, PAD).pauses(0)
    assert watched(PAUSE_FRAMES, 0.0, END_OF_PAD).pauses(0)


def test_a_word_or_a_voice_is_no_pause() -> None:
    """A slot does not pause while its model writes words or hears a voice."""
    assert not watched(PAUSE_FRAMES, 0.0, WORD).pauses(0)
    assert not watched(PAUSE_FRAMES, 0.1, PAD).pauses(0)


MUTE, SPOKEN = 2 * QUIET_FRAMES, 5  # frames without a word, and of speech, of an unanswered turn


def listening(chance: float = 0.0) -> Responsiveness:
    """Return a slot that heard a long turn, then silence in which words have a chance."""
    slots = watched(MUTE - QUIET_FRAMES, 0.1, PAD)
    go_on(slots, QUIET_FRAMES, 0.0, chance=chance)
    return slots


def test_a_slot_that_gives_words_no_chance_is_unresponsive() -> None:
    """A slot is unresponsive if it was mute and spoken to for long enough, and then in silence."""
    slots = listening()

    assert slots.unresponsive(MUTE, SPOKEN) == [0]
    assert slots.unresponsive(MUTE + 1, SPOKEN) == []
    assert slots.unresponsive(MUTE, MUTE - QUIET_FRAMES + 1) == []


def test_a_slot_that_gives_words_a_chance_is_responsive() -> None:
    """A chance of `LEAST_CHANCE` for words in one frame makes a slot responsive, however silent."""
    assert listening(chance=LEAST_CHANCE).unresponsive(MUTE, SPOKEN) == []
    assert listening(chance=LEAST_CHANCE / 2).unresponsive(MUTE, SPOKEN) == [0]

    slots = listening()
    go_on(slots, 1, 0.0, chance=0.01)
    go_on(slots, 10 * MUTE, 0.0)
    assert slots.unresponsive(MUTE, SPOKEN) == []


def test_endless_speech_and_endless_silence_ask_for_no_answer() -> None:
    """A slot that hears only speech, or only silence, stays responsive."""
    assert watched(10 * MUTE, 0.1, PAD).unresponsive(MUTE, SPOKEN) == []
    assert watched(10 * MUTE, 0.0, PAD).unresponsive(MUTE, SPOKEN) == []


def test_a_word_resets_the_count() -> None:
    """After a word only what follows it counts, chances included."""
    slots = listening()
    go_on(slots, 1, 0.1, WORD, chance=0.9)
    assert (slots.unresponsive(MUTE, SPOKEN), slots.mute_frames(0)) == ([], 0)
    go_on(slots, MUTE - QUIET_FRAMES, 0.1)
    go_on(slots, QUIET_FRAMES, 0.0)
    assert slots.unresponsive(MUTE, SPOKEN) == [0]


def test_forced_silence_resets_the_count() -> None:
    """Frames of forced silence do not count, and the count starts again after them."""
    slots = listening()
    go_on(slots, 1, 0.0, hushed=[0])
    assert slots.unresponsive(MUTE, SPOKEN) == []
    go_on(slots, MUTE - QUIET_FRAMES, 0.1)
    go_on(slots, QUIET_FRAMES, 0.0)
    assert slots.unresponsive(MUTE, SPOKEN) == [0]


def test_masked_slots_keep_their_counts() -> None:
    """A frame in which a slot did not run changes nothing for it."""
    slots = watched(PAUSE_FRAMES, 0.0, PAD)
    slots.watch(heard(0.1, 0.0), np.array([WORD, WORD]), np.ones(2), np.array([False, True]))

    assert slots.pauses(0)


def test_counts_follow_a_move_and_end_with_a_session() -> None:
    """A session that moves keeps its counts, and a cleared slot has none."""
    slots = listening()
    slots.move(0, 1)
    slots.clear(0)

    assert (slots.pauses(0), slots.pauses(1)) == (False, True)
    assert slots.unresponsive(MUTE, SPOKEN) == [1]
