"""How bad input is reported: by field, value and what was expected. Pure."""

from pydantic import ValidationError


class InvalidInput(ValueError):
    """Input that cannot be used; the text names field, value and what was expected."""


def explain(error: ValidationError, *, hide_values: bool = False) -> str:
    """Return a pydantic error as text: `sampling.text_top_k=0: Input should be …; …`."""
    faults: list[str] = []
    for fault in error.errors(include_url=False, include_context=False):
        field = ".".join(str(part) for part in fault["loc"]) or "input"
        value = "" if hide_values or fault["type"] == "missing" else f"={fault['input']!r:.80}"
        faults.append(f"{field}{value}: {fault['msg'].removeprefix('Value error, ')}")
    return "; ".join(faults)
