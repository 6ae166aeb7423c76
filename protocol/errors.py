"""The one way bad input is reported: field, value, what was expected. Pure."""

from pydantic import ValidationError


class InvalidInput(ValueError):
    """Input from outside that cannot be used; its text names field, value and what was expected."""


def explain(error: ValidationError, *, hide_values: bool = False) -> str:
    """One line per fault of a pydantic error: `sampling.text_top_k=0: Input should be …`."""
    lines: list[str] = []
    for fault in error.errors(include_url=False, include_context=False):
        field = ".".join(str(part) for part in fault["loc"]) or "input"
        value = "" if hide_values or fault["type"] == "missing" else f"={fault['input']!r:.80}"
        lines.append(f"{field}{value}: {fault['msg'].removeprefix('Value error, ')}")
    return "; ".join(lines)
