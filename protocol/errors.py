"""How bad input is reported: by field, value and what was expected. Pure."""

from collections.abc import Collection, Mapping
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


def explain(
    error: ValidationError,
    *,
    hide_values: bool = False,
    secret: Collection[str] = (),
    are_settings: bool = False,
) -> str:
    """Return a pydantic error as text: `sampling.text_top_k=0: Input should be …; …`.

    `secret` are the fields whose values are not shown; with `hide_values`, none is. Settings are
    named as everywhere, in capitals.
    """
    faults: list[str] = []
    hidden = [(name,) for name in secret]
    for fault in error.errors(include_url=False, include_context=False):
        field = ".".join(str(part) for part in fault["loc"]) or "input"
        field = field.upper() if are_settings else field
        is_hidden = hide_values or fault["type"] == "missing" or fault["loc"][:1] in hidden
        value = "" if is_hidden else f"={fault['input']!r:.80}"
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
