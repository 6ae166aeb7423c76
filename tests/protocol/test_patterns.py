"""What does not have its form is refused in words, everywhere."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from protocol.text import Matching

FOLDERS = ("protocol", "mind", "token_service", "worker")
PROJECT = Path(__file__).parents[2]
COLOUR = TypeAdapter(Annotated[str, Matching(r"red|green", "red or green")])


def test_the_whole_text_has_to_match() -> None:
    """No line end slips through, and the message has the words and not the expression."""
    assert COLOUR.validate_python("green") == "green"
    for wrong in ("green\n", "a red", "", "blue"):
        with pytest.raises(ValidationError, match="expected red or green"):
            COLOUR.validate_python(wrong)


def test_programs_are_told_the_pattern() -> None:
    """It stands in the JSON schema, of which OpenAPI and its clients are made."""
    assert COLOUR.json_schema() == {"type": "string", "pattern": "^(?:red|green)$"}


def test_no_field_explains_itself_by_an_expression() -> None:
    """Pydantic's own `pattern=` shows the raw expression to people."""
    found = [
        path
        for folder in FOLDERS
        for path in (PROJECT / folder).rglob("*.py")
        if "pattern=r" in path.read_text(encoding="utf-8")
    ]
    assert found == []
