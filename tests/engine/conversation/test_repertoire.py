"""The lines that a small model can say: which they are, and how they are found."""

import pytest

from protocol.errors import InvalidInput
from worker.engine.conversation.repertoire import Repertoire, read_repertoire

LINES = {"*": ["Yes, I see."], "anna": ["Good day."], "ben": ["Hello down there!"]}


def test_lines_are_those_of_the_voice_and_of_every_voice() -> None:
    """A voice has its own lines and the common ones; an unknown voice has the usual one's."""
    repertoire = Repertoire(LINES, usual_voice="ben")

    assert repertoire.of("anna") == ("Good day.", "Yes, I see.")
    assert repertoire.of("zoe") == ("Hello down there!", "Yes, I see.")


@pytest.mark.parametrize("text", ["Yes, I see.", "yes i see", " YES,  I see!?"])
def test_a_line_is_found_without_regard_to_case_and_punctuation(text: str) -> None:
    """A line is found whatever its case, punctuation and spaces, and returned as it was learned."""
    assert Repertoire(LINES).find(text, "anna") == "Yes, I see."


@pytest.mark.parametrize("text", ["Yes, I saw.", "Yes", "Hello down there!", "…", ""])
def test_any_other_text_is_not_found(text: str) -> None:
    """A part of a line, another voice's line and punctuation alone are not found."""
    assert Repertoire(LINES).find(text, "anna") is None


@pytest.mark.parametrize("config", [{}, {"model_id": None}, {"model_id": "x"}, {"model_id": {}}])
def test_a_model_without_lines_has_no_repertoire(config: dict[str, object]) -> None:
    """A config.json without lines gives no repertoire."""
    assert read_repertoire(config, "anna") is None


@pytest.mark.parametrize("lines", [[], "x", {"*": "x"}, {"*": [1]}, {"*": [""]}])
def test_malformed_lines_are_refused(lines: object) -> None:
    """Malformed lines are refused with the field and what was expected."""
    with pytest.raises(InvalidInput, match=r"config.json: model_id.lines: expected an object"):
        read_repertoire({"model_id": {"lines": lines}}, "anna")
