"""The lock on a part's sound file: its writer holds it until all files of the part are whole."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def unwritten(path: Path) -> Generator[bool]:
    """Lock a part's sound file; yield False where a process holds it, or it is gone."""
    try:
        file = path.open("rb")
    except OSError:
        yield False
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield path.exists()  # else it was uploaded meanwhile
