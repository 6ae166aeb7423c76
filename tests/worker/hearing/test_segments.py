"""Words with times and segments from the tokens of frames, by a scripted recogniser."""

from collections.abc import Sequence

import numpy as np
import pytest

from worker.engine.arrays import Mask, Pcm
from worker.engine.recognition.listeners import (
    HeardFrame,
    Listeners,
    Recognition,
    RecognitionOut,
)
from worker.hearing.kyutai import KyutaiRecogniser
from worker.hearing.recogniser import HeardWords
from worker.hearing.segments import LONGEST_SEGMENT_S, MOST_TOKENS, PAUSE_FRAMES, Segments

PIECES = ["", "", "", "", "▁my", "▁na", "me", "▁is", "▁anna"]
BOUNDARY, PAD = 0, 3
MY, NA, ME, IS, ANNA = range(4, 9)
DELAY_S = 0.16  # two frames


class ScriptedStep:
    """Hears, of each row, the token that the frame's first sample is."""

    capacity = 2

    def join(self, row: int) -> None: ...

    def run(self, pcm: Pcm, exec_mask: Mask) -> RecognitionOut:
        return RecognitionOut(pcm[:, 0].astype(np.int64), np.zeros(2), exec_mask.copy())


def recognition(*, has_pauses: bool = True) -> Recognition:
    """A recogniser of five pieces."""
    return Recognition(
        name="scripted",
        listeners=Listeners(ScriptedStep(), 4, flush_frames=2),
        decode=lambda tokens: "".join(PIECES[each] for each in tokens).replace("▁", " "),
        begins_word=lambda token: PIECES[token].startswith("▁"),
        padding=PAD,
        boundary=BOUNDARY,
        delay_s=DELAY_S,
        has_pauses=has_pauses,
    )


def hear(
    tokens: Sequence[int], pauses: Sequence[float] = (), *, has_pauses: bool = True
) -> list[HeardWords]:
    """What is told of frames with these tokens; where `pauses` end, no pause is foretold."""
    told: list[HeardWords] = []
    segments = Segments(recognition(has_pauses=has_pauses), told.append)
    for index, token in enumerate(tokens):
        pause = pauses[index] if index < len(pauses) else 0.0
        segments.take(HeardFrame(index, token, pause))
    return told


def finals(told: list[HeardWords]) -> list[str]:
    """The texts of the final versions."""
    return [each.text for each in told if each.is_final]


def test_words_have_the_times_at_which_they_were_said() -> None:
    """From boundary to boundary, earlier by the model's delay."""
    told = hear([PAD] * 5 + [BOUNDARY, MY, PAD, BOUNDARY, NA, ME, PAD, BOUNDARY])
    words = told[-1].words

    assert [each.text for each in words] == ["my", "name"]
    assert [each.start_s for each in words] == pytest.approx(
        [6 * 0.08 - DELAY_S, 9 * 0.08 - DELAY_S]
    )
    assert words[0].end_s == pytest.approx(8 * 0.08 - DELAY_S)


def test_each_word_is_told_once_it_is_whole_and_the_segment_keeps_its_id() -> None:
    """Interim versions grow by a word; nothing is final before a pause."""
    told = hear([BOUNDARY, MY, PAD, BOUNDARY, NA, ME, PAD, IS, PAD])

    assert [each.text for each in told] == ["my", "my name", "my name is"]
    assert len({each.segment_id for each in told}) == 1
    assert not finals(told)


def test_words_said_fast_are_parted_without_a_boundary() -> None:
    """A piece that begins a word ends the one before."""
    told = hear([PAD] * 4 + [BOUNDARY, MY, NA, ME, IS, PAD])
    words = told[-1].words

    assert [each.text for each in words] == ["my", "name", "is"]
    assert words[0].end_s == pytest.approx(words[1].start_s)


def test_a_word_ends_a_second_after_its_begin_at_the_latest() -> None:
    """The next word's boundary may come after a long silence."""
    told = hear([PAD] * 4 + [BOUNDARY, MY, *[PAD] * 30, BOUNDARY, IS, PAD])

    assert told[-1].words[0].end_s - told[-1].words[0].start_s == pytest.approx(1.0)


def test_a_word_without_end_is_cut() -> None:
    """A model that repeats one piece for ever is written in words of 25 pieces."""
    told = hear([BOUNDARY, NA, *[ME] * 60])
    assert [len(each.text) for each in told[-1].words] == [2 * MOST_TOKENS] * 2


def test_a_foretold_pause_ends_a_segment_once_its_words_are_out() -> None:
    """The pause must last as long as words are late, and three frames at least."""
    words = [BOUNDARY, MY, PAD, BOUNDARY, NA, ME, PAD]
    short = [0.0] * 3 + [0.9] * (PAUSE_FRAMES - 1)
    told = hear([*words, PAD, PAD], short)
    assert not finals(told)

    told = hear([*words, PAD, PAD, BOUNDARY, IS, PAD], [0.0] * 5 + [0.9] * 4)
    assert finals(told) == ["my name"]
    assert told[-1].text == "is"
    assert told[-1].segment_id != told[0].segment_id


def test_a_pause_before_any_word_ends_nothing() -> None:
    """A person who is silent makes no segments."""
    assert not hear([PAD] * 40, [0.99] * 40)


def test_without_pauses_a_segment_ends_in_silence() -> None:
    """A model without the heads: no word for 1.2 s."""
    told = hear([BOUNDARY, MY, PAD, *[PAD] * 20], has_pauses=False)
    assert finals(told) == ["my"]


def test_a_segment_without_pauses_ends_after_half_a_minute() -> None:
    """A person who does not stop is written all the same."""
    told = hear([BOUNDARY, MY, PAD, PAD] * 120)
    ended = [each for each in told if each.is_final]

    assert ended
    assert ended[0].end_s - ended[0].start_s == pytest.approx(LONGEST_SEGMENT_S, abs=0.4)


def test_who_leaves_is_written_to_the_end() -> None:
    """A closed row gives the last word as final, then nothing."""
    made = recognition()
    told: list[HeardWords] = []
    listening = KyutaiRecogniser(made).open(told.append)
    assert listening is not None
    for token in (BOUNDARY, ANNA):
        listening.push(np.full(4, token, np.float32))
    listening.close()
    made.listeners.use_gap(lambda: 1.0)

    assert finals(told) == ["anna"]
    assert told[-1].is_final


def test_more_people_than_rows_are_not_listened_to() -> None:
    """`open` returns None, and rows that were left are given again."""
    made = recognition()
    recogniser = KyutaiRecogniser(made)
    listenings = [recogniser.open(lambda words: None) for _ in range(3)]
    assert [each is None for each in listenings] == [False, False, True]

    assert listenings[0] is not None
    listenings[0].close()
    made.listeners.use_gap(lambda: 1.0)
    assert recogniser.open(lambda words: None) is not None
