"""A check at the start whether redis evicts keys."""

import asyncio
from contextlib import suppress

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from protocol.redis_memory import ADVICE, forgetting

log = structlog.stdlib.get_logger(__name__)

RETRY_S = 1.0


async def log_redis_eviction(redis: Redis, stopping: asyncio.Event) -> None:
    """Log an error if redis evicts keys. Waits for a redis that is away."""
    while not stopping.is_set():
        with suppress(RedisError):
            if (sentence := await eviction(redis)) is not None:
                log.error("redis_forgets", reason=sentence, advice=ADVICE)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), RETRY_S)


async def eviction(redis: Redis) -> str | None:
    """Return a sentence if a full redis evicts keys. Raises `RedisError`."""
    return forgetting(await redis.info("memory"))
