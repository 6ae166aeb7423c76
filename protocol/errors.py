"""How bad input is reported: by field, value and what was expected. Pure."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

# Types of faults whose texts name types of Python, where the input is JSON or TOML.
EXPECTED = {
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dataclass_type": "an object",
}


class InvalidInput(ValueError):
    """Input that cannot be used; the text names field, value and what was expected."""


def explain(error: ValidationError, *, hide_values: bool = False) -> str:
    """Return a pydantic error as text: `sampling.text_top_k=0: Input should be …; …`."""
    faults: list[str] = []
    for fault in error.errors(include_url=False, include_context=False):
        field = ".".join(str(part) for part in fault["loc"]) or "input"
        value = "" if hide_values or fault["type"] == "missing" else f"={fault['input']!r:.80}"
        faults.append(f"{field}{value}: {expected(fault)}")
    return "; ".join(faults)


def expected(fault: Mapping[str, Any]) -> str:
    """Return what was expected instead of an input, from one of pydantic's `errors()`."""
    if fault["type"] in EXPECTED:
        return f"expected {EXPECTED[fault['type']]}, got {_kind(fault['input'])}"
    return fault["msg"].removeprefix("Value error, ")


def _kind(value: object) -> str:
    """Name the kind of a JSON value; the value itself may be a prompt."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case Mapping():
            return "an object"
        case _:
            return "a list"
