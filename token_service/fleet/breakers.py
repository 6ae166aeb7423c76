"""A breaker per worker: one whose dispatches bring no host gets none for a while.

Three failures with less than a minute between them open it for half a minute, twice as long each
time it opens again within ten minutes. While it is open none is counted; afterwards one more is
enough. All of it is in redis, for all replicas.
"""

from collections.abc import Iterable

import structlog
from redis.asyncio import Redis

from token_service import metrics

log = structlog.stdlib.get_logger(__name__)

FAILURES_KEY = "moshi:failures:{worker}"
OPENINGS_KEY = "moshi:openings:{worker}"
BREAKER_KEY = "moshi:breaker:{worker}"
FAILURES = 3
FAILURES_WITHIN_S = 60
OPEN_S = 30
OPEN_MAX_S = 300
OPENINGS_REMEMBERED_S = 600


class Breakers:
    """Counts failures. Every call raises `RedisError` where redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def failed(self, worker: str) -> None:
        """Count a dispatch to this worker that brought no host, or one that did not last."""
        if await self.opened([worker]):
            return
        failures = FAILURES_KEY.format(worker=worker)
        count = await self._redis.incr(failures)
        await self._redis.expire(failures, FAILURES_WITHIN_S)
        if count >= FAILURES:
            await self._open(worker)

    async def _open(self, worker: str) -> None:
        openings = OPENINGS_KEY.format(worker=worker)
        times = await self._redis.incr(openings)
        open_s = min(OPEN_S * 2 ** min(times - 1, 10), OPEN_MAX_S)
        async with self._redis.pipeline() as pipe:
            pipe.expire(openings, OPENINGS_REMEMBERED_S)
            pipe.set(BREAKER_KEY.format(worker=worker), 1, ex=open_s)
            # once it is closed again, the next failure opens it
            pipe.set(
                FAILURES_KEY.format(worker=worker), FAILURES - 1, ex=open_s + FAILURES_WITHIN_S
            )
            await pipe.execute()
        metrics.BREAKERS.inc()
        log.warning("worker_breaker_opened", worker=worker, seconds=open_s)

    async def opened(self, workers: Iterable[str]) -> frozenset[str]:
        """Which of the workers get no dispatch at the moment."""
        names = list(workers)
        keys = [BREAKER_KEY.format(worker=name) for name in names]
        marks = await self._redis.mget(keys) if keys else []
        return frozenset(name for name, mark in zip(names, marks, strict=True) if mark)
