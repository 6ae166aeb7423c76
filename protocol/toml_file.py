"""Reads a TOML file, and refuses one that cannot be read by its name. Reads nothing else."""

import tomllib
from pathlib import Path
from typing import Any

from protocol.errors import InvalidInput
from protocol.text import ENCODING


def read_toml(path: Path, name: str) -> dict[str, Any]:
    """Return a file's fields. Raises `InvalidInput` that begins with `name`."""
    try:
        return tomllib.loads(path.read_text(encoding=ENCODING))
    except OSError as error:
        reason = f"{error.strerror}; expected a file that this user may read"
        raise InvalidInput(f"{name}: {reason}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{name}: not TOML: {error}") from None
