"""Drafts: a file is written anew under a hidden name, and takes its place when it is whole.

A power cut can leave one behind. It is deleted once no process holds the sound of its part.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from protocol.recordings.names import SOUND, draft_name, read_draft
from worker.recording.private import open_private
from worker.recording.sound_lock import unwritten

ABANDONED_S = 3600.0  # since the last write: a rewrite takes seconds


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """Write a file in one step: a crash leaves the old one or the new one."""
    draft = path.with_name(draft_name(path.name))
    try:
        with open(draft, "wb", opener=open_private) as file:
            yield file
            file.flush()
            os.fdatasync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def delete_left_drafts(folder: Path, now_s: float) -> None:
    """Delete the drafts of parts that no process writes any more."""
    for path in folder.glob("*/*/.*"):
        part = read_draft(path.relative_to(folder).as_posix())
        if part is None:
            continue
        sound = folder / part.key(SOUND)
        with unwritten(sound) as is_unwritten, suppress(FileNotFoundError):
            if is_unwritten or (not sound.exists() and _is_abandoned(path, now_s)):
                path.unlink()


def _is_abandoned(path: Path, now_s: float) -> bool:
    return path.stat().st_mtime < now_s - ABANDONED_S
