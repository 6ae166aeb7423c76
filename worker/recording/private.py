"""Files that no other account may read."""

import os


def open_private(path: str, flags: int) -> int:
    """Open a file, made where it is not there, for this account alone."""
    return os.open(path, flags, 0o600)
