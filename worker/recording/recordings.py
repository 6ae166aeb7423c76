"""The recordings of a worker: opens parts, uploads them, deletes expired ones.

`RECORD_DIR` alone: parts are written where they stay. With a bucket the folder holds them until
they are uploaded.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from protocol.config.settings import Settings
from protocol.recordings.names import PartName
from protocol.recordings.storage import DAY_S, RecordingStorage, StorageAway, open_storage
from worker.recording.drafts import delete_left_drafts
from worker.recording.part import PartWriter
from worker.recording.uploads import Uploads

log = structlog.get_logger(__name__)

SWEEP_EVERY_S = 3600.0
CLOSE_WITHIN_S = 10.0  # for all parts


class Recordings:
    """Opens the parts of a worker's rooms. `open` may be called from any thread."""

    def __init__(
        self,
        settings: Settings,
        storage: RecordingStorage | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the folder or the bucket. Raises `InvalidInput`."""
        self.consent = settings.record_consent
        self._days, self._clock = settings.record_days, clock
        self._folder = settings.record_dir or settings.cache_dir / "recordings"
        self._storage = storage or open_storage(settings)
        self._uploads: Uploads | None = None
        if settings.record_s3_bucket:
            self._uploads = Uploads(self._folder, self._storage)
        self._parts: list[PartWriter] = []
        self._lock = threading.Lock()

    def open(
        self,
        name: PartName,
        about: dict[str, Any],
        on_started: Callable[[], None],
        on_failed: Callable[[str], None],
    ) -> PartWriter:
        """Start to write a part. The callbacks come from its thread."""
        part = PartWriter(self._folder, name, about, on_started, on_failed)
        if (uploads := self._uploads) is not None:
            part.on_written = partial(uploads.grown, name)
            part.on_ended = partial(uploads.finish, name)
        with self._lock:
            part.start()
            self._parts = [each for each in (*self._parts, part) if each.is_open()]
        return part

    async def run(self) -> None:
        """Delete expired parts, and upload those that were left behind, now and each hour."""
        while True:
            try:
                await asyncio.to_thread(self.sweep)
            except Exception:  # a file in the way must not end the next sweeps
                log.exception("recordings_sweep_failed")
            await asyncio.sleep(SWEEP_EVERY_S)

    def sweep(self) -> None:
        """Upload parts that were left behind, and delete expired ones, and drafts of words."""
        delete_left_drafts(self._folder, self._clock())
        self.upload_left()
        if self._uploads is not None:
            self._uploads.delete_empty_folders(self._clock() - SWEEP_EVERY_S)
        try:
            for name in self._storage.delete_expired(self._days, self._clock()):
                log.info("recording_expired", session=name.session, part=name.part)
        except StorageAway as error:
            log.warning("recordings_not_swept", reason=str(error))

    def upload_left(self) -> None:
        """Upload the parts that a process has left behind; where there is a bucket."""
        if self._uploads is not None:
            self._uploads.upload_all_left(self._clock() - self._days * DAY_S)

    def close(self) -> None:
        """Wait for the parts that end, and for their uploads."""
        for part in self._parts:
            part.close()
        until_s = time.monotonic() + CLOSE_WITHIN_S
        for part in self._parts:
            part.join(max(until_s - time.monotonic(), 0.0))
        if self._uploads is not None:
            self._uploads.close()


def recordings_of(settings: Settings) -> Recordings | None:
    """Return the recordings, if there is a place for them. Raises `InvalidInput`."""
    return Recordings(settings) if settings.may_record else None
