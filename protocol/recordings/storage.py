"""Stored recordings: in a folder, or in a bucket of S3-compatible storage, by the same calls.

Every call raises `StorageAway` where the storage fails or does not answer. Files that are not ours
are neither listed nor deleted.
"""

from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from protocol.config.secret import reveal
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.recordings.byte_range import WHOLE, ByteRange
from protocol.recordings.names import (
    MEDIA_TYPES,
    WORDS,
    PartName,
    is_mark,
    mark_of,
    owner_folder,
    read_draft,
    read_key,
    session_folder,
)
from protocol.recordings.words import whole_words

if TYPE_CHECKING:  # not there at run time
    from obstore import BytesStream, GetOptions, ObjectMeta
    from obstore.store import S3Config

DAY_S = 86_400.0
CHUNK_BYTES = 256 * 1024
RETRIES, RETRY_WITHIN = 2, timedelta(seconds=10)


# By S3's own codes. Without one, nothing answered at the address. The first that fits counts:
# without a key, the library asks Amazon's link-local addresses for the machine's role.
SETTINGS_AT_FAULT = {
    "http://169.254.": "RECORD_S3_ACCESS_KEY: expected a key; Amazon gives this machine no role",
    "InvalidAccessKeyId": "RECORD_S3_ACCESS_KEY: the storage does not know this key",
    "XAdminUserNotFound": "RECORD_S3_ACCESS_KEY: the storage does not know this key",  # versitygw
    "SignatureDoesNotMatch": "RECORD_S3_SECRET_KEY: it is not the secret of RECORD_S3_ACCESS_KEY",
    "AccessDenied": "RECORD_S3_ACCESS_KEY: this key may not do that in RECORD_S3_BUCKET",
    "NoSuchBucket": "RECORD_S3_BUCKET: the storage has no such bucket",
    "AuthorizationHeaderMalformed": "RECORD_S3_REGION: the bucket is in another one",
    "error sending request": "RECORD_S3_ENDPOINT: the storage does not answer there",
}


class StorageAway(Exception):
    """The storage fails or does not answer; the text names the setting at fault, for the log."""


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One part of a recording: the size of each of its files, and when the last one changed."""

    name: PartName
    sizes: dict[str, int]  # by the kind of file
    changed_s: float  # epoch


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """The bytes of a file from `begin` to `end`, and the file's size and tag of this moment."""

    chunks: AsyncGenerator[bytes]
    begin: int
    end: int
    size: int
    tag: str


class RecordingStorage:
    """Lists, reads, uploads and deletes recordings. May be used from any thread."""

    def __init__(self, store: LocalStore | S3Store) -> None:
        self._store = store
        self._is_bucket = isinstance(store, S3Store)

    async def of(self, owner: str, session: str = "") -> list[StoredPart]:
        """Return the parts of an owner's recordings, or of one session's, the oldest first."""
        prefix = session_folder(owner, session) if session else owner_folder(owner)
        with _failures():
            found = await obstore.list(self._store, prefix).collect_async()
        return _parts(map(_file, found))

    async def read(self, key: str, wanted: ByteRange = WHOLE) -> StoredBytes | None:
        """Return the bytes of a file in chunks; None if there is no such file.

        Raises `RangeBeyond`.
        """
        is_written = key.endswith(f".{WORDS}") and not self._is_bucket  # maybe just now
        with _failures():
            try:
                if wanted.is_whole or is_written:
                    found = await obstore.get_async(self._store, key)
                else:
                    size = (await obstore.head_async(self._store, key))["size"]
                    asked: GetOptions = {"range": wanted.within(size)}
                    found = await obstore.get_async(self._store, key, options=asked)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None
            (begin, end), size, tag = found.range, found.meta["size"], found.meta["e_tag"] or ""
            if is_written:
                content = whole_words(bytes(await found.bytes_async()))
                begin, end = wanted.within(len(content))
                return StoredBytes(_one(content[begin:end]), begin, end, len(content), tag)
        return StoredBytes(_chunks(found.stream(CHUNK_BYTES)), begin, end, size, tag)

    async def delete(self, owner: str, session: str) -> None:
        """Delete a session's recording, in the bucket also the files that are not uploaded yet."""
        with _failures():
            folder = session_folder(owner, session)
            if self._is_bucket:
                await obstore.put_async(self._store, mark_of(folder), b"")
            found = await obstore.list(self._store, folder).collect_async()
            keys = [each["path"] for each in found]
            if ours := [key for key in keys if read_key(key) or read_draft(key)]:
                await obstore.delete_async(self._store, ours)

    def upload(self, key: str, path: Path) -> None:
        """Store a file under a key, in place of the one that is there."""
        with _failures():
            is_words = key.endswith(f".{WORDS}")
            obstore.put(self._store, key, whole_words(path.read_bytes()) if is_words else path)

    def discard_deleted(self, part: PartName) -> None:
        """Delete a part whose session was deleted after it had begun: call it after each upload."""
        with _failures():
            try:
                marked = obstore.head(self._store, mark_of(part.folder))
            except FileNotFoundError:
                return
            if part.started_s <= marked["last_modified"].timestamp():
                obstore.delete(self._store, [part.key(kind) for kind in MEDIA_TYPES])

    def delete_expired(self, days: int, now_s: float) -> list[PartName]:
        """Delete parts and marks that have not changed for some days; return the parts' names."""
        before_s = now_s - days * DAY_S
        with _failures():
            files = list(map(_file, obstore.list(self._store).collect()))
            old = [part for part in _parts(files) if part.changed_s < before_s]
            marks = [key for key, _, changed_s in files if is_mark(key) and changed_s < before_s]
            if keys := _keys(old) + marks:
                obstore.delete(self._store, keys)
        return [part.name for part in old]


def open_storage(settings: Settings) -> RecordingStorage:
    """Open the bucket or the folder. Connects to nothing. Raises `InvalidInput`."""
    try:
        if settings.record_s3_bucket:
            return RecordingStorage(_bucket(settings))
        folder = settings.record_dir
        assert folder is not None, "asked only where `may_record`"
        return RecordingStorage(LocalStore(folder, mkdir=True, automatic_cleanup=True))
    except (BaseError, OSError, ValueError) as error:
        place = "RECORD_S3_BUCKET"
        if not settings.record_s3_bucket:
            place = f"RECORD_DIR={str(settings.record_dir)!r}: expected a folder to write to"
        raise InvalidInput(f"{place}: {error!s:.300}") from error


def _bucket(settings: Settings) -> S3Store:
    config: S3Config = {"region": settings.record_s3_region}
    if settings.record_s3_endpoint:
        config["endpoint"] = settings.record_s3_endpoint
    if settings.record_s3_access_key:
        config["access_key_id"] = settings.record_s3_access_key
        config["secret_access_key"] = reveal(settings, "record_s3_secret_key", "recordings")
    return S3Store(
        settings.record_s3_bucket,
        config=config,
        client_options={"allow_http": True},  # only where RECORD_S3_ENDPOINT is http
        retry_config={"max_retries": RETRIES, "retry_timeout": RETRY_WITHIN},
    )


def _parts(files: Iterable[tuple[str, int, float]]) -> list[StoredPart]:
    """Return the parts that files belong to: keys, sizes, times of change."""
    parts: dict[PartName, StoredPart] = {}
    for key, size, changed_s in files:
        if (ours := read_key(key)) is None:
            continue
        name, kind = ours
        known = parts.get(name, StoredPart(name, {}, 0.0))
        sizes = known.sizes | {kind: size}
        parts[name] = StoredPart(name, sizes, max(known.changed_s, changed_s))
    return sorted(parts.values(), key=lambda part: part.name)


def _keys(parts: Iterable[StoredPart]) -> list[str]:
    return [part.name.key(kind) for part in parts for kind in part.sizes]


def _file(found: "ObjectMeta") -> tuple[str, int, float]:
    return found["path"], found["size"], found["last_modified"].timestamp()


async def _chunks(stream: "BytesStream") -> AsyncGenerator[bytes]:
    with _failures():
        async for chunk in stream:
            yield bytes(chunk)


async def _one(content: bytes) -> AsyncGenerator[bytes]:
    yield content


@contextmanager
def _failures() -> Generator[None]:
    """Raise `StorageAway` for an error of the storage."""
    try:
        yield
    except (BaseError, OSError) as error:
        said = str(error).partition("\n\nDebug source:")[0]  # many lines, and nothing new
        known = [why for code, why in SETTINGS_AT_FAULT.items() if code in said]
        raise StorageAway(f"{[*known, type(error).__name__][0]}: {said:.300}") from error
