"""Space: whether redis has the memory for another room.

New rooms are refused before redis refuses to write, so that heartbeats, locks and the rooms that
are in use go on. Raises `RedisError` where redis is away.
"""

import time
from typing import Any

from redis.asyncio import Redis

from token_service.errors import redis_full

FULL_AT = 0.9  # of `maxmemory`
LOOK_EVERY_S = 1.0


class Space:
    """Asks redis, at most once a second."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._looked_s = float("-inf")
        self._is_full = False

    async def check(self) -> None:
        """Raise `Unavailable` where redis has no memory left for another room."""
        now_s = time.monotonic()
        if now_s - self._looked_s > LOOK_EVERY_S:
            memory: Any = await self._redis.info("memory")
            most = int(memory.get("maxmemory", 0))  # 0: no limit
            self._is_full = bool(most) and memory["used_memory"] > FULL_AT * most
            self._looked_s = now_s
        if self._is_full:
            raise redis_full()
