"""How Kyutai's recogniser makes timed words and segments of the tokens of a person's frames."""

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
from worker.frames import FRAME_SAMPLES
from worker.hearing.kyutai import KyutaiRecogniser
from worker.hearing.recogniser import HeardWords
from worker.hearing.segments import LONGEST_SEGMENT_S, MOST_TOKENS, PAUSE_FRAMES, Segments

PIECES = ["", "", "", "", "▁my", "▁na", "me", "▁is", "▁anna", "▁…"]
BOUNDARY, PAD = 0, 3
MY, NA, ME, IS, ANNA, DOTS = range(4, 10)
DELAY_S = 0.16  # two frames


class ScriptedStep:
    """A model that recognises, in each row, the token that the frame's first sample names."""

    capacity = 2

    def join(self, row: int) -> None: ...

    def run(self, pcm: Pcm, exec_mask: Mask) -> RecognitionOut:
        return RecognitionOut(pcm[:, 0].astype(np.int64), np.zeros(2), exec_mask.copy())


def recognition(*, has_pauses: bool = True) -> Recognition:
    """Return a recognition whose vocabulary is the five pieces of "my name is anna"."""
    return Recognition(
        name="scripted",
        listeners=Listeners(ScriptedStep(), flush_frames=2),
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
    """Return the versions that these tokens make; a frame beyond `pauses` has no pause."""
    versions: list[HeardWords] = []
    segments = Segments(recognition(has_pauses=has_pauses), versions.append, lambda: None)
    for index, token in enumerate(tokens):
        pause = pauses[index] if index < len(pauses) else 0.0
        segments.take(HeardFrame(index, token, pause))
    return versions


def finals(versions: list[HeardWords]) -> list[str]:
    """Return the texts of the final versions."""
    return [each.text for each in versions if each.is_final]


def test_words_have_the_times_at_which_they_were_said() -> None:
    """A word lasts from its boundary to the next one, both earlier by the model's delay."""
    versions = hear([PAD] * 5 + [BOUNDARY, MY, PAD, BOUNDARY, NA, ME, PAD, BOUNDARY])
    words = versions[-1].words

    assert [each.text for each in words] == ["my", "name"]
    assert [each.start_s for each in words] == pytest.approx(
        [6 * 0.08 - DELAY_S, 9 * 0.08 - DELAY_S]
    )
    assert words[0].end_s == pytest.approx(8 * 0.08 - DELAY_S)


def test_frames_that_were_dropped_shift_no_words() -> None:
    """The model is late by frames that it heard: what it says after a gap was said before it."""
    made = [PAD] * 10 + [BOUNDARY, MY, PAD, PAD, BOUNDARY, ANNA, BOUNDARY]
    versions: list[HeardWords] = []
    segments = Segments(recognition(), versions.append, lambda: None)
    indexes = [*range(10), *range(20, 27)]  # ten frames are missing before the eleventh
    for index, token in zip(indexes, made, strict=True):
        segments.take(HeardFrame(index, token, 0.0))
    starts = [round(each.start_s / 0.08) for each in versions[-1].words]
    assert [each.text for each in versions[-1].words] == ["my", "anna"]
    assert starts == [9, 23]


def test_each_complete_word_makes_a_new_version_of_the_same_segment() -> None:
    """Each interim version has one word more than the last, and none is final before a pause."""
    versions = hear([BOUNDARY, MY, PAD, BOUNDARY, NA, ME, PAD, IS, PAD])

    assert [each.text for each in versions] == ["my", "my name", "my name is"]
    assert len({each.segment_id for each in versions}) == 1
    assert not finals(versions)


def test_a_piece_that_begins_a_word_ends_the_word_before() -> None:
    """Words without a boundary between them are separated where a piece begins a word."""
    versions = hear([PAD] * 4 + [BOUNDARY, MY, NA, ME, IS, PAD])
    words = versions[-1].words

    assert [each.text for each in words] == ["my", "name", "is"]
    assert words[0].end_s == pytest.approx(words[1].start_s)


def test_a_word_lasts_at_most_one_second() -> None:
    """A word ends after one second even where the next boundary comes much later."""
    versions = hear([PAD] * 4 + [BOUNDARY, MY, *[PAD] * 30, BOUNDARY, IS, PAD])

    assert versions[-1].words[0].end_s - versions[-1].words[0].start_s == pytest.approx(1.0)


def test_a_model_that_repeats_one_piece_for_ever_writes_words_of_25_pieces() -> None:
    """A word is cut at `MOST_TOKENS` pieces, and the next pieces begin another word."""
    versions = hear([BOUNDARY, NA, *[ME] * 60])
    assert [len(each.text) for each in versions[-1].words] == [2 * MOST_TOKENS] * 2


def test_a_predicted_pause_ends_a_segment_after_its_last_word() -> None:
    """A segment ends once a predicted pause has lasted `PAUSE_FRAMES` frames."""
    words = [BOUNDARY, MY, PAD, BOUNDARY, NA, ME, PAD]
    short = [0.0] * 3 + [0.9] * (PAUSE_FRAMES - 1)
    versions = hear([*words, PAD, PAD], short)
    assert not finals(versions)

    versions = hear([*words, PAD, PAD, BOUNDARY, IS, PAD], [0.0] * 5 + [0.9] * 4)
    assert finals(versions) == ["my name"]
    assert versions[-1].text == "is"
    assert versions[-1].segment_id != versions[0].segment_id


def test_a_pause_before_any_word_ends_nothing() -> None:
    """A person who is silent makes no segments, however long the pause."""
    assert not hear([PAD] * 40, [0.99] * 40)


def test_without_pauses_a_segment_ends_in_silence() -> None:
    """A model that predicts no pauses ends a segment after 1.2 s without a word."""
    versions = hear([BOUNDARY, MY, PAD, *[PAD] * 20], has_pauses=False)
    assert finals(versions) == ["my"]


def test_a_segment_without_pauses_ends_after_half_a_minute() -> None:
    """A segment of a person who never pauses ends after `LONGEST_SEGMENT_S`."""
    versions = hear([BOUNDARY, MY, PAD, PAD] * 120)
    ended = [each for each in versions if each.is_final]

    assert ended
    assert ended[0].end_s - ended[0].start_s == pytest.approx(LONGEST_SEGMENT_S, abs=0.4)


def test_the_last_word_of_a_person_who_leaves_is_final() -> None:
    """When a listening is closed, its last word comes as final."""
    made = recognition()
    versions: list[HeardWords] = []
    listening = KyutaiRecogniser(made).open(versions.append, "", lambda: None)
    assert listening is not None
    for token in (BOUNDARY, ANNA):
        listening.push(np.full(FRAME_SAMPLES, token, np.float32))
    listening.close()
    made.listeners.use_gap(lambda: 1.0)

    assert finals(versions) == ["anna"]
    assert versions[-1].is_final


def test_more_people_than_rows_are_not_listened_to() -> None:
    """`open` returns None while all rows are occupied, and a listening once a row is free again."""
    made = recognition()
    recogniser = KyutaiRecogniser(made)
    listenings = [recogniser.open(lambda words: None, "", lambda: None) for _ in range(3)]
    assert [each is None for each in listenings] == [False, False, True]

    assert listenings[0] is not None
    listenings[0].close()
    made.listeners.use_gap(lambda: 1.0)
    assert recogniser.open(lambda words: None, "", lambda: None) is not None


def test_marks_without_a_word_are_no_segment() -> None:
    """Punctuation alone is told to nobody; with a word it belongs to the segment."""
    pause = [PAD] * 40
    assert hear([BOUNDARY, DOTS, BOUNDARY, *pause]) == []
    assert finals(hear([BOUNDARY, DOTS, BOUNDARY, ANNA, BOUNDARY, *pause])) == ["… anna"]
