"""Whether redis has answered all along: one that stood still has lost heartbeats of live workers.

Its clock goes on meanwhile, so that heartbeats end, and a call that waits for its answer does not
fail if that is short. Unless `run` runs, redis counts as steady.
"""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from protocol.heartbeat import HEARTBEAT_TTL_S

PERIOD_S = 0.5
LATE_S = 2.0  # between two answers; heartbeats live longer


class Pulse:
    def __init__(self, redis: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis, self._clock = redis, clock
        self._answered_s = math.inf
        self._steady_from_s = 0.0

    def is_steady(self) -> bool:
        """Return whether redis answers, and has for as long as a heartbeat lives."""
        now_s = self._clock()
        return now_s >= self._steady_from_s and now_s - self._answered_s < LATE_S

    async def run(self, stopping: asyncio.Event) -> None:
        """Ask redis until `stopping` is set."""
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
