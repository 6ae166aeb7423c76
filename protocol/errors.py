"""How bad input is reported: by field, value and what was expected. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

# Types of faults whose texts name types of Python, where the input is JSON or TOML.
EXPECTED = {
    "string_type": "a text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dataclass_type": "an object",
}
TAG = "\0"  # begins a union's tag: it stands in a fault's place and is no field of the input


class InvalidInput(ValueError):
    """Input that cannot be used; the text names field, value and what was expected."""


def explain(
    error: ValidationError,
    *,
    hide_values: bool = False,
    secret: Collection[str] = (),
    are_settings: bool = False,
    fields: Collection[str] = (),
) -> str:
    """Return a pydantic error as text: `sampling.text_top_k=0: Input should be …; …`.

    `secret` are the fields whose values are not shown; with `hide_values`, none is. Settings are
    named as everywhere, in capitals. `fields` are the choices for a name that is none of them.
    """
    told: list[str] = []
    hidden = [(name,) for name in secret]
    for fault in without_results(error.errors(include_url=False)):
        field = place(fault["loc"]) or "input"
        field = field.upper() if are_settings else field
        is_hidden = hide_values or fault["type"] == "missing" or fault["loc"][:1] in hidden
        value = "" if is_hidden else f"={fault['input']!r:.80}"
        choices = fields if len(fault["loc"]) == 1 else ()
        told.append(f"{field}{value}: {expected(fault, choices)}")
    return "; ".join(told)


def place(loc: Sequence[int | str]) -> str:
    """Return where a fault is, as `personas.0.voice`; empty: the whole input."""
    return ".".join(str(part) for part in loc if not str(part).startswith(TAG))


def without_results(faults: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leave out the fault that a list is too short where it is so for want of a faulty item."""
    lists = {fault["loc"][:end] for fault in faults for end in range(len(fault["loc"]))}
    return [each for each in faults if each["type"] != "too_short" or each["loc"] not in lists]


def expected(fault: Mapping[str, Any], fields: Collection[str] = ()) -> str:
    """Return what was expected instead of an input, from one of pydantic's `errors()`."""
    match fault["type"]:
        case "extra_forbidden":
            return "no such field" + (f"; choices: {', '.join(fields)}" if fields else "")
        case "too_long":
            return f"expected at most {_items(fault, 'max_length')}"
        case "too_short":
            return f"expected at least {_items(fault, 'min_length')}"
        case kind if kind in EXPECTED:
            return f"expected {EXPECTED[kind]}, got {kind_of(fault['input'])}"
        case _:
            return fault["msg"].removeprefix("Value error, ")


def _items(fault: Mapping[str, Any], limit: str) -> str:
    most = fault["ctx"][limit]
    return f"{most} item{'s' if most != 1 else ''}, got {fault['ctx']['actual_length']}"


def kind_of(value: object) -> str:
    """Name the kind of a JSON value; the value itself may be a prompt."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int():
            return "a number"
        case float():
            return "a number with a decimal point"
        case str():
            return "a text"
        case Mapping():
            return "an object"
        case _:
            return "a list"
