"""The recordings of a caller's sessions, which outlive the sessions: listed, read, deleted.

A recording is its owner's: its key begins with a hash of the owner's name. Calls raise `Refused`,
`Unavailable`, `RedisError`.
"""

from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from pydantic import BaseModel

from protocol.config.settings import Settings
from protocol.recordings.byte_range import ByteRange, RangeBeyond
from protocol.recordings.names import session_folder
from token_service.auth.callers import Caller
from token_service.fleet.reader import FleetReader
from token_service.refusals import Refused, Unavailable, recording_off
from token_service.rooms.store import SpecStore

if TYPE_CHECKING:
    from protocol.recordings.storage import RecordingStorage, StoredBytes, StoredPart

log = structlog.stdlib.get_logger(__name__)

LISTED = 1000


class RecordedPart(BaseModel):
    """A part of a session's recording: one for each worker that hosted it, usually one."""

    session: str
    part: str
    started_at_s: float
    changed_at_s: float
    files: dict[str, int]  # bytes by the name to read it by


class StoredRecordings:
    """Finds, reads and deletes recordings. Opens its storage with the first call."""

    def __init__(self, settings: Settings, specs: SpecStore, workers: FleetReader) -> None:
        self._settings, self._specs, self._workers = settings, specs, workers
        self._opened: RecordingStorage | None = None

    async def of(self, caller: Caller, session: str = "") -> list[RecordedPart]:
        """Return the caller's recordings, or those of one session, the latest first."""
        with _away():
            parts = await self._storage().of(caller.id, session)
        parts.sort(key=lambda part: part.name.started_s, reverse=True)
        return [_view(part) for part in parts[:LISTED]]

    async def read(
        self, caller: Caller, session: str, file: str, wanted: ByteRange, only_of: str = ""
    ) -> "StoredBytes":
        """Return the wanted bytes of one file; all of it where it has another tag than `only_of`.

        Raises `Refused` for a range beyond its end.
        """
        key = f"{session_folder(caller.id, session)}/{file}"
        try:
            with _away():
                found = await self._storage().read(key, wanted)
                if found is not None and only_of not in ("", found.tag):
                    found = await self._storage().read(key)
        except RangeBeyond as beyond:
            raise Refused(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                "range_beyond",
                f"{beyond}.",
                {"Content-Range": f"bytes */{beyond.size}"},
            ) from beyond
        if found is None:
            raise _unknown()
        return found

    async def may_delete(self, caller: Caller, session: str) -> None:
        """Raise `Refused` unless the caller has a recording of a session, and that is over."""
        with _away():
            parts = await self._storage().of(caller.id, session)
        spec = await self._specs.of_session(session)
        may_come = spec is not None and spec.record and spec.owner == caller.id  # its upload waits
        if not parts and not may_come:
            raise _unknown()
        if spec is not None and (await self._workers.fleet()).hosts(spec):
            sentence = "The session is running. End it first."
            raise Refused(HTTPStatus.CONFLICT, "session_runs", sentence)

    async def delete(self, caller: Caller, session: str) -> None:
        """Delete the recording of a session."""
        with _away():
            await self._storage().delete(caller.id, session)

    def _storage(self) -> "RecordingStorage":
        if not self._settings.may_record:
            raise recording_off()
        if self._opened is None:
            from protocol.recordings.storage import open_storage  # 15 MB, where it is used

            self._opened = open_storage(self._settings)
        return self._opened


def _view(part: "StoredPart") -> RecordedPart:
    name = part.name
    return RecordedPart(
        session=name.session,
        part=name.part,
        started_at_s=name.started_s,
        changed_at_s=part.changed_s,
        files={f"{name.part}.{kind}": size for kind, size in sorted(part.sizes.items())},
    )


def _unknown() -> Refused:
    sentence = "There is no such recording."
    return Refused(HTTPStatus.NOT_FOUND, "recording_unknown", sentence)


@contextmanager
def _away() -> Generator[None]:
    """Raise `Unavailable` where the storage does not answer."""
    from protocol.recordings.storage import StorageAway

    try:
        yield
    except StorageAway as error:
        log.warning("recordings_away", reason=str(error))
        sentence = "The storage of recordings does not answer."
        raise Unavailable("recordings_away", sentence, 10) from error
