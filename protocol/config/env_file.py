"""Reads `.env`, and refuses lines that docker compose would read differently.

Compose reads it by compose-go (dotenv/parser.go), our processes by python-dotenv 1.2.4. They differ
in `$`, backslashes in quotes, `#` and lines without `=`: one secret would become two.
"""

import io
import re
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from protocol.errors import InvalidInput
from protocol.text import ENCODING

UTF_16 = (b"\xff\xfe", b"\xfe\xff")
NAME = re.compile(r"[A-Za-z_][\w.-]*")
FILLED_IN_ALIKE = re.compile(r"\$\{[A-Za-z_]\w*(:-[^${}]*)?\}")


def read_env_file(path: Path) -> str:
    """Return the text; empty if there is no file. Raises `InvalidInput` naming file and line."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise InvalidInput(
            f"{path}: {error.strerror}; expected a file that this user may read"
        ) from None
    if raw.startswith(UTF_16):
        raise InvalidInput(f"{path}: is UTF-16; expected UTF-8: save it again as that")
    try:
        text = raw.decode(ENCODING)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"{path}, line {line}: expected UTF-8: save it again as that") from None
    if "\0" in text:
        raise InvalidInput(f"{path}: holds zero bytes, as UTF-16 does; expected UTF-8")
    for binding in parse_stream(io.StringIO(text)):
        _check(path, binding)
    return text


def names_in(text: str) -> list[str]:
    """Return the names that the text of a `.env` sets."""
    return [each.key for each in parse_stream(io.StringIO(text)) if each.key is not None]


def _check(path: Path, binding: Binding) -> None:
    original = binding.original.string
    blank = len(original) - len(original.lstrip())
    line = binding.original.line + original[:blank].count("\n")
    where = f"{path}, line {line}"
    if binding.error or (binding.key is not None and not NAME.fullmatch(binding.key)):
        raise InvalidInput(f"{where}: expected NAME=value")
    if binding.key is None or binding.value is None:
        return
    raw = original[blank:].partition("=")[2].strip()
    if (difference := _difference(raw, binding.value)) is not None:
        raise InvalidInput(
            f"{where}: {binding.key} {difference}; docker compose reads it differently"
        )


def _difference(raw: str, value: str) -> str | None:
    """Return why compose would read a value differently, if it would. Shows no value."""
    if raw.startswith(("'", '"')):
        if "\\" in value or "\\" in raw:
            return "has a backslash in quotes: expected a value without, or no quotes"
        if raw.startswith("'"):
            return "has ${ in single quotes: expected a value without" if "${" in value else None
    elif raw.partition(" #")[0].rstrip() != value:
        return "has a # that begins no comment for both: expected the comment on a line of its own"
    if "$" in FILLED_IN_ALIKE.sub("", value):
        return "has a $: expected it in single quotes"
    return None
