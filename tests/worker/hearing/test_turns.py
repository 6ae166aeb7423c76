"""Where one person's sound is cut into turns, by the real VAD over recorded speech."""

import itertools

import numpy as np
import pytest

from harness import recordings
from worker.frames import Pcm16
from worker.hearing.turns import MOST_WINDOWS, SpokenTurn, Turns
from worker.vad import VAD_RATE_HZ, WINDOW_S

FRAME = 1280  # 80 ms


def spoken(name: str) -> Pcm16:
    """Return a recorded sentence at 16 kHz, a second of silence on either side."""
    pcm = recordings.recording(name)
    at = np.arange(0, len(pcm), recordings.RATE_HZ / VAD_RATE_HZ)
    return (np.interp(at, np.arange(len(pcm)), pcm) * 32767).astype(np.int16)


def turns_of(turns: Turns, pcm: Pcm16) -> list[SpokenTurn]:
    """Feed sound frame by frame; return the turns that ended."""
    frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME)
    return [turn for frame in frames for turn in turns.feed(frame)]


def test_a_turn_is_what_is_said_between_two_pauses() -> None:
    """Two sentences with a pause between them make two turns, each with one sentence's speech."""
    sentence = spoken("opening")
    speech_s = len(sentence) / VAD_RATE_HZ - 2.0

    first, second = turns_of(Turns(), np.concatenate([sentence, sentence]))

    assert first.start_s == pytest.approx(0.7, abs=0.15)
    assert first.start_s + first.before_s == pytest.approx(1.0, abs=0.1)
    ends_s = first.start_s + first.duration_s - first.after_s
    assert ends_s == pytest.approx(1.0 + speech_s, abs=0.12)
    assert second.start_s - first.start_s == pytest.approx(len(sentence) / VAD_RATE_HZ, abs=0.1)
    for turn in (first, second):
        assert turn.duration_s == pytest.approx(speech_s + 0.5, abs=0.3)


def test_speech_without_a_pause_is_cut_into_turns_of_at_most_12_s() -> None:
    """Each cut turn begins where the one before ended, and no speech is lost."""
    speech = spoken("station")[VAD_RATE_HZ:-VAD_RATE_HZ]
    turns = Turns()

    cut = turns_of(turns, np.tile(speech, 8))
    cut += turns.end(0.0)

    assert max(turn.duration_s for turn in cut) <= MOST_WINDOWS * WINDOW_S
    for one, other in itertools.pairwise(cut):
        assert other.start_s == pytest.approx(one.start_s + one.duration_s, abs=1e-6)
    assert sum(turn.duration_s for turn in cut) == pytest.approx(
        len(speech) * 8 / VAD_RATE_HZ, abs=0.3
    )


def test_silence_and_a_click_make_no_turn() -> None:
    """Ten seconds of silence with one click make no turn."""
    pcm = np.zeros(10 * VAD_RATE_HZ, dtype=np.int16)
    pcm[5 * VAD_RATE_HZ : 5 * VAD_RATE_HZ + 80] = 20_000

    assert turns_of(Turns(), pcm) == []


def test_a_person_who_leaves_ends_the_turn() -> None:
    """What a person said until their sound ended makes a turn."""
    turns = Turns()
    sentence = spoken("opening")

    assert turns_of(turns, sentence[: 2 * VAD_RATE_HZ]) == []
    [turn] = turns.end(0.0)

    assert turn.duration_s == pytest.approx(1.3, abs=0.2)


def test_times_go_on_after_a_gap() -> None:
    """After lost sound, the next turn has the time at which it was said."""
    turns = Turns()
    list(turns.end(30.0))

    [turn] = turns_of(turns, spoken("opening"))

    assert turn.start_s == pytest.approx(30.7, abs=0.15)
