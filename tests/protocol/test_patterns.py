"""Texts with a pattern: refusals say in words which form is expected."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from protocol.text import Matching

FOLDERS = ("protocol", "mind", "token_service", "worker")
PROJECT = Path(__file__).parents[2]
COLOUR = TypeAdapter(Annotated[str, Matching(r"red|green", "red or green")])


def test_the_whole_text_has_to_match() -> None:
    """The whole text has to match, and a refusal has the words, not the expression."""
    assert COLOUR.validate_python("green") == "green"
    for wrong in ("green\n", "a red", "", "blue"):
        with pytest.raises(ValidationError, match="expected red or green"):
            COLOUR.validate_python(wrong)


def test_the_json_schema_has_the_pattern() -> None:
    """The JSON schema has the pattern."""
    assert COLOUR.json_schema() == {"type": "string", "pattern": "^(?:red|green)$"}


def test_no_field_uses_pydantics_pattern() -> None:
    """No field uses pydantic's `pattern=`, which would show the expression to people."""
    found = [
        path
        for folder in FOLDERS
        for path in (PROJECT / folder).rglob("*.py")
        if "pattern=r" in path.read_text(encoding="utf-8")
    ]
    assert found == []
