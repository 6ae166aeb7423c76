"""Brings the files of parts into S3-compatible storage, whole and again as they grow.

Object storage cannot append. A part is uploaded at its end, and while it is written whenever it is
twice as old as at the last time, at the latest every five minutes: an hour is uploaded some ten
times over. Uploads that fail are tried again each hour. What a process left behind that ended in
the middle is uploaded as soon as its worker sees its end, or by the next worker that finds the
folder: the sound file's lock tells whether a part is still being written. A session that its owner
deleted meanwhile has a mark in the storage: what was uploaded of it then is deleted there.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

import structlog

from protocol.recordings.names import MEDIA_TYPES, SOUND, PartName, read_key
from protocol.recordings.storage import RecordingStorage, StorageAway
from worker.recording.sound_lock import unwritten

log = structlog.get_logger(__name__)

FIRST_S, MOST_S = 30.0, 300.0  # between two uploads of one part
AT_ONCE = 4
OWNER = "[0-9a-f]" * 16  # the name of an owner's folder


class Uploads:
    """The uploads of one process. May be used from any thread."""

    def __init__(
        self,
        folder: Path,
        storage: RecordingStorage,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._storage, self._clock = folder, storage, clock
        self._threads = ThreadPoolExecutor(AT_ONCE, "upload")
        self._due: dict[PartName, tuple[float, float]] = {}  # when, and how long after the last
        self._running: dict[PartName, Future[None]] = {}
        self._lock = threading.Lock()

    def grown(self, part: PartName) -> None:
        """Upload a part that is being written, if its time has come."""
        with self._lock:
            now_s = self._clock()
            due_s, pause_s = self._due.setdefault(part, (now_s + FIRST_S, FIRST_S))
            if now_s < due_s or part in self._running:
                return
            pause_s = min(2 * pause_s, MOST_S)
            self._due[part] = now_s + pause_s, pause_s
            self._running[part] = self._threads.submit(self._upload_grown, part)

    def finish(self, part: PartName) -> None:
        """Upload a part that has ended and that its writer still locks; delete its local files."""
        with self._lock:
            self._due.pop(part, None)
            running = self._running.get(part)
        if running is not None:  # it would put its older state in place of the last one
            wait([running])
        self._move(part)

    def upload_all_left(self, changed_since_s: float) -> None:
        """Upload every part that no process writes any more, or delete it where it is older."""
        for path in sorted(self._folder.glob(f"*/*/*.{SOUND}")):
            ours = read_key(path.relative_to(self._folder).as_posix())
            if ours is not None:
                with unwritten(path) as is_unwritten:
                    if is_unwritten and path.stat().st_mtime < changed_since_s:
                        self._delete_here(ours[0])
                    elif is_unwritten:
                        self._move(ours[0])

    def delete_empty_folders(self, unchanged_since_s: float) -> None:
        """Delete the folders of sessions and owners whose parts are all in the storage."""
        for pattern in (f"{OWNER}/*", OWNER):
            for path in self._folder.glob(pattern):
                with suppress(OSError):  # it is not empty, or gone
                    if path.stat().st_mtime < unchanged_since_s:
                        path.rmdir()

    def close(self) -> None:
        """Wait for the uploads that have been asked for."""
        self._threads.shutdown()

    def _upload_grown(self, part: PartName) -> None:
        try:
            self._upload(part)
        finally:
            with self._lock:
                self._running.pop(part, None)

    def _move(self, part: PartName) -> None:
        if self._upload(part):
            self._delete_here(part)

    def _delete_here(self, part: PartName) -> None:
        for kind in reversed(MEDIA_TYPES):  # the sound last: by it a part is found that was left
            (self._folder / part.key(kind)).unlink(missing_ok=True)

    def _upload(self, part: PartName) -> bool:
        """Upload the files of a part; return whether all are there."""
        try:
            for kind in MEDIA_TYPES:
                path = self._folder / part.key(kind)
                if path.exists():
                    self._storage.upload(part.key(kind), path)
            self._storage.discard_deleted(part)
        except StorageAway as error:
            log.warning("recording_not_uploaded", part=part.part, reason=str(error))
            return False
        return True
