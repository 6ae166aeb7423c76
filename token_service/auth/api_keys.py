"""API keys: a file of salted hashes, read again when it changes.

A key is `mrk_<id>_<secret>`: the id finds its line, the secret has 256 random bits, so one round of
SHA-256 guards it. Keys of one name are one caller: a new key replaces an old one without a break.
"""

import hashlib
import hmac
import json
import os
import secrets
import tomllib
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.errors import InvalidInput, explain
from protocol.patterns import Matching
from token_service.auth.callers import Caller, Scope

log = structlog.stdlib.get_logger(__name__)

PREFIX = "mrk_"


class StoredKey(BaseModel):
    """One key at rest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Matching(r"[0-9a-f]{16}", "16 of the digits 0 to 9 and a to f")]
    name: Annotated[
        str, Matching(r"[A-Za-z0-9._-]{1,64}", "1 to 64 letters, digits, dots, - and _")
    ]
    scopes: frozenset[Scope] = Field(min_length=1)
    salt: str
    hash: str


class KeyFile(BaseModel):
    """The file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[StoredKey, ...] = ()


NOBODY = StoredKey(id="0" * 16, name="nobody", scopes=frozenset(Scope), salt="", hash="0" * 64)


def hashed(salt: str, secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(f"{salt}:{secret}".encode()).hexdigest()


def make_key(name: str, scopes: frozenset[Scope]) -> tuple[str, StoredKey]:
    """Make a key, which is shown once, and what is kept of it. Raises `InvalidInput`."""
    key_id, secret, salt = secrets.token_hex(8), secrets.token_urlsafe(32), secrets.token_hex(16)
    try:
        stored = StoredKey(
            id=key_id, name=name, scopes=scopes, salt=salt, hash=hashed(salt, secret)
        )
    except ValidationError as error:
        raise InvalidInput(explain(error)) from error
    return f"{PREFIX}{key_id}_{secret}", stored


def read_keys(path: Path) -> dict[str, StoredKey]:
    """Every key of a file by its id. Raises `InvalidInput`, whose text shows no value."""
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
        return {key.id: key for key in KeyFile.model_validate(fields).keys}
    except OSError as error:
        raise InvalidInput(f"API_KEYS_FILE={str(path)!r}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"API_KEYS_FILE={str(path)!r}: not TOML") from error
    except ValidationError as error:
        raise InvalidInput(f"API_KEYS_FILE: {explain(error, hide_values=True)}") from error


def add_key(path: Path, stored: StoredKey) -> None:
    """Append a key to a file that its owner alone can read."""
    lines = ["[[keys]]", f'id = "{stored.id}"', f'name = "{stored.name}"']
    lines += [f"scopes = {json.dumps(sorted(stored.scopes))}"]
    lines += [f'salt = "{stored.salt}"', f'hash = "{stored.hash}"', "", ""]
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w") as file:
        file.write("\n".join(lines))


class ApiKeys:
    """The keys of one file, which may change while the service runs: removed is revoked."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises `InvalidInput`."""
        self._path = path
        self._stamp = _stamp(path)
        self._keys = read_keys(path)

    async def caller(self, key: str) -> Caller | None:
        """Whose key this is; `None` where it is none. Takes as long for either."""
        self._read_again()
        key_id, _, secret = key.removeprefix(PREFIX).partition("_")
        stored = self._keys.get(key_id, NOBODY)
        good = hmac.compare_digest(stored.hash, hashed(stored.salt, secret))
        return Caller(f"key:{stored.name}", stored.scopes) if good else None

    def _read_again(self) -> None:
        """A file that changed is read; one that cannot be read holds no key."""
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
    """What changes when a file does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
