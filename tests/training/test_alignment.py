"""When words begin, found in recordings of the shipped model."""

from itertools import pairwise

import pytest
import sphn

from training.alignment import words_of
from training.repertoire import VOICES
from worker.engine.files import pocket


@pytest.mark.parametrize("name", ["NATF0", "NATM1"])
def test_words_begin_one_after_the_other_within_the_sound(name: str) -> None:
    """Each word has a time later than the last one's, within the recording."""
    pcm = sphn.read(str(pocket.FOLDER / "voices" / f"{name}.wav"))[0][0]
    text = VOICES[name].introduction
    times = words_of(pcm, text)
    assert len(times) == len(text.split())
    assert all(a < b for a, b in pairwise((0.0, *times, len(pcm) / 24_000)))
