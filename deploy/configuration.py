"""The settings as documents: the README's table and `.env.example`, made from `Settings`.

`python -m deploy.configuration` rewrites what lies between the marks; a test says when it is due.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from deploy.installers import PROJECT
from protocol.config.command_line import refuse_arguments
from protocol.config.settings import Settings

BEGIN, END = "settings begin", "settings end"


def table(fields: dict[str, FieldInfo]) -> str:
    """Return a Markdown table of name, default and meaning."""
    rows = [
        f"| `{name.upper()}` | {_cell(default_of(field))} | {field.description} |"
        for name, field in fields.items()
    ]
    return "\n".join(["| Setting | Default | Meaning |", "|---|---|---|", *rows])


def example(fields: dict[str, FieldInfo]) -> str:
    """Return lines for `.env`: each setting commented out with its default."""
    return "\n".join(
        f"# {field.description}\n#{name.upper()}={default_of(field)}\n"
        for name, field in fields.items()
    )


def default_of(field: FieldInfo) -> str:
    """Return a default as it is written in `.env`; empty if there is none."""
    value: Any = field.default
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return _short(value)
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return "" if value is None else str(value)


def renewed(path: Path, made: str) -> str:
    """Return a file's text with `made` between its marks. Raises `ValueError` without marks."""
    lines = path.read_text(encoding="utf-8").split("\n")
    begin, end = (
        next((i for i, line in enumerate(lines) if mark in line), None) for mark in (BEGIN, END)
    )
    if begin is None or end is None:
        raise ValueError(f"{path.name}: expected lines with '{BEGIN}' and '{END}'")
    return "\n".join([*lines[: begin + 1], made, *lines[end:]])


def documents() -> Iterator[tuple[Path, str]]:
    """Yield each file and the text that it should have."""
    makers: dict[str, Callable[[dict[str, FieldInfo]], str]] = {
        "README.md": table,
        ".env.example": example,
    }
    for name, make in makers.items():
        path = PROJECT / name
        yield path, renewed(path, make(Settings.model_fields))


def _cell(default: str) -> str:
    return f"`{default}`" if default else ""


def _short(path: Path) -> str:
    if path.is_relative_to(PROJECT):
        return str(path.relative_to(PROJECT))
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def main() -> int:
    """Rewrite the files."""
    refuse_arguments("make configuration", "Write the settings into README.md and .env.example.")
    for path, text in documents():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
