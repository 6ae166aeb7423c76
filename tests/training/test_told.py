"""The lines that the shipped pocket Moshi can be told to say, by its config.json."""

import json

import pytest

from protocol.personas import GREETING
from training.repertoire import COMMON, PERSONA_VOICES, Use
from training.told import is_late, texts_of
from worker.engine.conversation.repertoire import read_repertoire
from worker.engine.files import pocket

CONFIG = json.loads((pocket.FOLDER / "config.json").read_text(encoding="utf-8"))


def test_each_voice_has_lines_that_it_learned() -> None:
    """Each voice has at least 15 lines, all of which it learned."""
    repertoire = read_repertoire(CONFIG, "NATF0")
    assert repertoire is not None
    for persona, voice in PERSONA_VOICES.items():
        assert set(repertoire.of(voice)) <= set(texts_of(persona))
        assert len(repertoire.of(voice)) >= 15


def test_every_voice_can_say_the_greetings() -> None:
    """Every voice has the common greetings, and not a line that it did not learn."""
    repertoire = read_repertoire(CONFIG, "NATF0")
    assert repertoire is not None
    for voice in PERSONA_VOICES.values():
        assert set(COMMON[Use.GREETING]) <= set(repertoire.of(voice))
        assert repertoire.find(GREETING, voice) == GREETING
        assert repertoire.find("Dinner is ready.", voice) is None


@pytest.mark.parametrize(
    ("said", "late"), [((2, 3, 4), False), ((3, 3), False), ((2, 5, 3), True), ((14,), True)]
)
def test_a_word_is_late_after_more_than_one_frame(said: tuple[int, ...], late: bool) -> None:
    """A word is late if it comes more than a frame after the place at which it was learned."""
    assert is_late(said, (2, 3, 3)) is late
