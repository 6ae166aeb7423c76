"""Writes the backups of all personas into redis, once a second in one pipeline, and reads them.

Deletions, and the last chunks of a persona, do not wait for the second to pass.

Nothing waits for a write. While redis is away, the latest minute of each backup waits for it. Redis
may have taken what it did not answer for, and then has it twice: a reader sees that.
"""

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from prometheus_client import Counter
from redis.exceptions import RedisError

from protocol.redis.client import open_redis
from worker.backup.chunk import BACKUP_TTL_S, CHUNKS_KEPT
from worker.loops import call_on_loop, result_from

log = structlog.get_logger(__name__)

PERIOD_S = 1.0
MOST_WAITING = 10_000  # chunks of all backups, 5 MB: 170 conversations' minutes
ANSWERS_WITHIN_S = 1.5

WRITTEN = Counter("moshi_backup_bytes", "Bytes of backups that redis took")
LOST = Counter("moshi_backup_lost_chunks", "Chunks of backups that redis did not take")


@dataclass(slots=True)
class _Change:
    """Chunks to add to one backup, and whether it is deleted first."""

    is_dropped: bool = False  # before the chunks are added
    chunks: list[bytes] = field(default_factory=list[bytes])


class BackupStore:
    """The backups in redis. Main loop, where nothing else is said."""

    def __init__(self, redis_url: str) -> None:
        self._redis = open_redis(redis_url)
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._changes: dict[str, _Change] = {}
        self._now = asyncio.Event()
        self._writing = asyncio.Lock()
        self._is_stopping = False
        self._is_away = False  # redis did not take the last pipeline

    def append(self, key: str, chunk: bytes) -> None:
        """Add a chunk to a backup with the next pipeline. Any thread."""
        with self._lock:
            self._changes.setdefault(key, _Change()).chunks.append(chunk)

    def drop(self, *keys: str) -> None:
        """Delete backups with the next pipeline, and drop chunks that wait for them. Any thread."""
        with self._lock:
            for key in keys:
                self._changes[key] = _Change(is_dropped=True)
        self.flush()

    def flush(self) -> None:
        """Write at once. Any thread."""
        call_on_loop(self._loop, self._now.set)

    async def written(self) -> None:
        """Return once everything up to now is written, or redis did not take it. Any loop.

        Raises `TimeoutError` after a while. The writing goes on: it has other rooms' changes, too.
        """
        writing = asyncio.run_coroutine_threadsafe(self._write(), self._loop)
        await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(writing)), ANSWERS_WITHIN_S)

    async def answers(self) -> bool:
        """Return whether redis answers now. Any loop."""
        try:
            return await result_from(self._loop, self._ping(), ANSWERS_WITHIN_S)
        except (RedisError, TimeoutError):
            return False

    async def read(self, keys: Sequence[str]) -> list[bytes]:
        """Return the chunks of the first of these backups that exists. Any loop."""
        try:
            return await result_from(self._loop, self._read(keys), ANSWERS_WITHIN_S)
        except (RedisError, TimeoutError) as error:
            log.warning("backup_not_read", error=type(error).__name__)
            return []

    def stop(self) -> None:
        """End `run` once it has written the waiting changes."""
        self._is_stopping = True
        self._now.set()

    async def run(self) -> None:
        """Write each second until stopped."""
        is_last = False
        while not is_last:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._now.wait(), PERIOD_S)
            self._now.clear()
            is_last = self._is_stopping
            await self._write()
        LOST.inc(self._waiting)
        await self._redis.aclose()

    async def _ping(self) -> bool:
        return bool(await self._redis.ping())

    async def _read(self, keys: Sequence[str]) -> list[bytes]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.lrange(key, 0, -1)
            found: list[list[bytes]] = await pipe.execute()
        return next(filter(None, found), [])

    async def _write(self) -> None:
        async with self._writing:
            with self._lock:
                changes, self._changes = self._changes, {}
            if changes:
                await self._write_changes(changes)

    async def _write_changes(self, changes: dict[str, _Change]) -> None:
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for key, change in changes.items():
                    _queue(pipe, key, change)
                await pipe.execute()
        except RedisError as error:
            waiting, lost = self._keep(changes)
            LOST.inc(lost)
            if not self._is_away:
                log.warning(
                    "backups_not_written",
                    waiting_chunks=waiting,
                    lost_chunks=lost,
                    error=type(error).__name__,
                )
            self._is_away = True
        else:
            if self._is_away:
                log.info("backups_written_again")
            self._is_away = False
            WRITTEN.inc(sum(len(chunk) for each in changes.values() for chunk in each.chunks))

    def _keep(self, changes: dict[str, _Change]) -> tuple[int, int]:
        """Repeat changes with the next pipeline; return how many chunks wait and are lost."""
        with self._lock:
            for key, newer in self._changes.items():
                older = changes.get(key)
                if older is None or newer.is_dropped:
                    changes[key] = newer
                else:
                    older.chunks += newer.chunks
            self._changes = changes
            before = self._waiting
            for change in changes.values():
                del change.chunks[:-CHUNKS_KEPT]
            if self._waiting > MOST_WAITING:
                for change in changes.values():
                    change.chunks.clear()
            return self._waiting, before - self._waiting

    @property
    def _waiting(self) -> int:
        return sum(len(each.chunks) for each in self._changes.values())


def _queue(pipe: Any, key: str, change: _Change) -> None:
    if change.is_dropped:
        pipe.delete(key)
    if change.chunks:
        pipe.rpush(key, *change.chunks)
        pipe.ltrim(key, -CHUNKS_KEPT, -1)
        pipe.expire(key, BACKUP_TTL_S)
