"""API keys: a file of names and hashes, read again when it changes.

A key is `mrk_` and 256 random bits; one round of SHA-256 protects those. Keys with the same name
are one caller, so a new key can replace an old one without an interruption.
"""

import hashlib
import json
import os
import secrets
import tomllib
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.errors import InvalidInput, explain
from protocol.text import ENCODING, Matching
from token_service.auth.callers import Caller, Scope

log = structlog.stdlib.get_logger(__name__)

PREFIX = "mrk_"
Name = Annotated[str, Matching(r"[A-Za-z0-9._-]{1,64}", "1 to 64 letters, digits, dots, - and _")]
Hash = Annotated[str, Matching(r"[0-9a-f]{64}", "64 of the digits 0 to 9 and a to f")]


class StoredKey(BaseModel):
    """One key as the file stores it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    scopes: frozenset[Scope] = Field(min_length=1)
    hash: Hash


class KeyFile(BaseModel):
    """The content of a key file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[StoredKey, ...] = ()


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def make_key(name: str, scopes: frozenset[Scope]) -> tuple[str, StoredKey]:
    """Make a key and its stored form. Raises `InvalidInput`."""
    key = PREFIX + secrets.token_urlsafe(32)
    try:
        return key, StoredKey(name=name, scopes=scopes, hash=hashed(key))
    except ValidationError as error:
        raise InvalidInput(explain(error)) from error


def read_keys(path: Path) -> dict[str, StoredKey]:
    """Read a file's keys, by hash. Raises `InvalidInput`; its text shows no value."""
    return {key.hash: key for key in _parsed(_text(path), path).keys}


def add_key(path: Path, stored: StoredKey) -> None:
    """Append a key to a file; a new file is readable by its owner only.

    Raises `InvalidInput`, and writes nothing, where the file could not be used then.
    """
    scopes = json.dumps(sorted(stored.scopes))
    text = f'[[keys]]\nname = "{stored.name}"\nscopes = {scopes}\nhash = "{stored.hash}"\n\n'
    held = _text(path) if path.exists() else ""
    if held and not held.endswith("\n"):
        text = f"\n{text}"
    _parsed(held + text, path)
    size = path.stat().st_size if held else 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w") as file:
            file.write(text)
    except OSError as error:
        if path.is_file():
            os.truncate(path, size)  # half a key on a full disk would revoke all of them
        raise InvalidInput(f"API_KEYS_FILE={str(path)!r}: {error.strerror}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding=ENCODING)
    except OSError as error:
        raise InvalidInput(f"API_KEYS_FILE={str(path)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"API_KEYS_FILE={str(path)!r}: not TOML") from error


def _parsed(text: str, path: Path) -> KeyFile:
    try:
        return KeyFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"API_KEYS_FILE={str(path)!r}: not TOML: {error}") from error
    except ValidationError as error:
        raise InvalidInput(f"API_KEYS_FILE: {explain(error, hide_values=True)}") from error


class ApiKeys:
    """The keys of one file. A key that is removed from the file is revoked at once."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises `InvalidInput`."""
        self._path = path
        self._stamp = _stamp(path)
        self._keys = read_keys(path)

    def caller(self, key: str) -> Caller | None:
        """Return the caller that a key identifies; `None` for an unknown key.

        The lookup is by hash: its duration tells nothing about the keys themselves.
        """
        self._reload()
        stored = self._keys.get(hashed(key))
        return Caller(f"key:{stored.name}", stored.scopes) if stored is not None else None

    def _reload(self) -> None:
        """Read the file if it has changed; an unreadable file has no keys."""
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = read_keys(self._path)
        except InvalidInput as error:
            self._keys = {}
            log.error("api_keys_unreadable", reason=str(error))


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return a value that differs after every change of the file; `None` if it is missing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
