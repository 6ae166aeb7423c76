"""The names of recordings. Pure.

A session has a part for each host that recorded it, usually one. A part is three files: the sound
(people left, personas right), and the words as JSON and as WebVTT, by the same clock. Their keys
begin with a hash of the session's owner, so that one caller's recordings are one folder.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

SOUND, WORDS, CAPTIONS = "ogg", "json", "vtt"
DELETED = "deleted"  # a session's mark in a bucket: its owner deleted what began before
MEDIA_TYPES: Final = {
    SOUND: "audio/ogg; codecs=opus",
    WORDS: "application/json",
    CAPTIONS: "text/vtt; charset=utf-8",
}
STARTED_FORMAT = "%Y%m%dT%H%M%SZ"
SESSION = r"[a-z0-9]{1,32}"
FILE = rf"\d{{8}}T\d{{6}}Z-\d{{1,9}}\.({'|'.join(MEDIA_TYPES)})"
_FOLDER = rf"[0-9a-f]{{16}}/{SESSION}"
_KEY = re.compile(rf"(?P<folder>{_FOLDER})/(?P<file>{FILE})")
_MARK = re.compile(rf"{_FOLDER}/{DELETED}")


@dataclass(frozen=True, slots=True, order=True)
class PartName:
    """One part of a session's recording. `folder`: that of the session, below the owner's."""

    folder: str
    part: str

    @property
    def session(self) -> str:
        """Return the session's id."""
        return self.folder.partition("/")[2]

    @property
    def started_s(self) -> float:
        """Return when the part began, in seconds of the epoch."""
        started = datetime.strptime(self.part.partition("-")[0], STARTED_FORMAT)
        return started.replace(tzinfo=UTC).timestamp()

    def key(self, kind: str) -> str:
        """Return the key of one of the part's files."""
        return f"{self.folder}/{self.part}.{kind}"


def owner_folder(owner: str) -> str:
    """Return the folder of one owner's recordings: owners' names may be long or have slashes."""
    return hashlib.sha256(owner.encode()).hexdigest()[:16]


def session_folder(owner: str, session: str) -> str:
    """Return the folder of one session's recording."""
    return f"{owner_folder(owner)}/{session}"


def mark_of(folder: str) -> str:
    """Return the key of the mark that the session of a folder was deleted."""
    return f"{folder}/{DELETED}"


def is_mark(key: str) -> bool:
    """Return whether a key is that of a session's mark."""
    return _MARK.fullmatch(key) is not None


def new_part(owner: str, session: str, generation: int, started_s: float) -> PartName:
    """Return the name of the part that a host of this generation writes."""
    started = datetime.fromtimestamp(started_s, UTC).strftime(STARTED_FORMAT)
    return PartName(session_folder(owner, session), f"{started}-{generation}")


def read_key(key: str) -> tuple[PartName, str] | None:
    """Return the part and the kind of file that a key names; None for a file that is not ours."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    part, _, kind = found["file"].rpartition(".")
    return PartName(found["folder"], part), kind


def draft_name(name: str) -> str:
    """Return the name under which a file is written that is to take the place of another."""
    return f".{name}"


def read_draft(key: str) -> PartName | None:
    """Return the part whose file's draft a key names; None for any other file."""
    folder, _, name = key.rpartition("/")
    ours = read_key(f"{folder}/{name[1:]}")
    return ours[0] if ours is not None and name == draft_name(name[1:]) else None
