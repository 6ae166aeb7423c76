"""Whether redis has answered all along: one that was away, or stood still, has lost heartbeats.

Its clock goes on meanwhile, so that heartbeats of live workers end; a call that is made again in
time does not notice. Calls raise `RedisError` where redis is away.
"""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from protocol.heartbeat import HEARTBEAT_TTL_S

PERIOD_S = 0.5
LATE_S = 2.0  # between two answers; heartbeats live longer


class Pulse:
    """When a missing heartbeat means a lost worker. Unless `run` runs, no answer is late."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis, self._clock = redis, clock
        self._answered_s = math.inf
        self._steady_from_s = 0.0

    async def is_steady(self) -> bool:
        """Return whether redis has run, and answered, for as long as a heartbeat lives."""
        now_s = self._clock()
        if now_s < self._steady_from_s or now_s - self._answered_s >= LATE_S:
            return False
        try:
            about: Any = await self._redis.info("server")
        except ResponseError:  # some rented ones do not tell
            return True
        return about["uptime_in_seconds"] >= HEARTBEAT_TTL_S

    async def run(self, stopping: asyncio.Event) -> None:
        """Ask redis until `stopping` is set."""
        self._answered_s = self._clock()  # else a first answer that is late would not seem so
        while not stopping.is_set():
            with suppress(RedisError):
                await self._redis.ping()
                self.answered()
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), PERIOD_S)

    def answered(self) -> None:
        """Note an answer. After a late one workers get the time to write their heartbeats."""
        now_s = self._clock()
        if now_s - self._answered_s > LATE_S:
            self._steady_from_s = now_s + HEARTBEAT_TTL_S
        self._answered_s = now_s
