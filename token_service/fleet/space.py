"""The space in redis: whether it takes a new room, and whether it evicts keys.

New rooms are refused before redis refuses to write, so that heartbeats and the rooms in use
continue. Raises `RedisError` if redis is away.
"""

import asyncio
import time
from contextlib import suppress

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from protocol.redis.memory import ADVICE, forgetting
from token_service.refusals import redis_full

log = structlog.stdlib.get_logger(__name__)

FULL_AT = 0.9  # of `maxmemory`
CHECK_EVERY_S = 1.0
NOTHING_KEY = "moshi:nothing"  # never there


class Space:
    """Checks the memory of redis, at most once a second."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._checked_s = float("-inf")
        self._is_full = False

    async def check(self) -> None:
        """Raise `Unavailable` for a full redis, `RedisError` for one that takes no writes."""
        now_s = time.monotonic()
        if now_s - self._checked_s > CHECK_EVERY_S:
            await self._redis.delete(NOTHING_KEY)  # a replica, or a full disk, refuses that
            memory = await self._redis.info("memory")
            limit = int(memory.get("maxmemory", 0))  # 0: no limit
            self._is_full = bool(limit) and memory["used_memory"] > FULL_AT * limit
            self._checked_s = now_s
        if self._is_full:
            raise redis_full()

    async def eviction(self) -> str | None:
        """Return a sentence if a full redis evicts keys."""
        return forgetting(await self._redis.info("memory"))

    async def log_eviction(self, stopping: asyncio.Event) -> None:
        """Log an error if redis evicts keys. Waits for a redis that is away."""
        while not stopping.is_set():
            with suppress(RedisError):
                if (sentence := await self.eviction()) is not None:
                    log.error("redis_forgets", reason=sentence, advice=ADVICE)
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), CHECK_EVERY_S)
