"""Files with secrets: readable by this user alone, written whole or not at all."""

import os
from pathlib import Path


def write_privately(path: Path, text: str) -> None:
    """Write or replace a file with mode 600."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        fresh.replace(path)
    except OSError:  # a full disk: the old file stays, and no part of the new one
        fresh.unlink(missing_ok=True)
        raise
