"""The only lines that a small model can say: which they are, and how they are found."""

import pytest

from protocol.errors import InvalidInput
from worker.engine.conversation.repertoire import Repertoire, read_repertoire

LINES = {"*": ["Yes, I see."], "anna": ["Good day."], "ben": ["Hello down there!"]}


def test_lines_are_those_of_the_voice_and_of_every_voice() -> None:
    """A voice has its own lines and the common ones; one that the model lacks has the usual's."""
    repertoire = Repertoire(LINES, usual_voice="ben")

    assert repertoire.of("anna") == ("Good day.", "Yes, I see.")
    assert repertoire.of("zoe") == ("Hello down there!", "Yes, I see.")


@pytest.mark.parametrize("text", ["Yes, I see.", "yes i see", " YES,  I see!?"])
def test_a_line_is_found_whatever_its_marks(text: str) -> None:
    """Case, marks and spaces are no matter: the line is said as it was learned."""
    assert Repertoire(LINES).find(text, "anna") == "Yes, I see."


@pytest.mark.parametrize("text", ["Yes, I saw.", "Yes", "Hello down there!", "…", ""])
def test_any_other_text_is_not_found(text: str) -> None:
    """Neither a part of a line, nor another voice's line, nor marks alone."""
    assert Repertoire(LINES).find(text, "anna") is None


@pytest.mark.parametrize("config", [{}, {"model_id": None}, {"model_id": "x"}, {"model_id": {}}])
def test_a_model_without_lines_says_anything(config: dict[str, object]) -> None:
    """Without lines in config.json there is no repertoire."""
    assert read_repertoire(config, "anna") is None


@pytest.mark.parametrize("lines", [[], "x", {"*": "x"}, {"*": [1]}, {"*": [""]}])
def test_lines_that_are_none_are_refused(lines: object) -> None:
    """The refusal names the field and what was expected."""
    with pytest.raises(InvalidInput, match=r"config.json: model_id.lines: expected an object"):
        read_repertoire({"model_id": {"lines": lines}}, "anna")
