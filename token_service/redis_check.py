"""Whether redis keeps what it is told: asked once, as soon as it answers."""

import asyncio
from contextlib import suppress

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from protocol.redis_memory import ADVICE, forgetting

log = structlog.stdlib.get_logger(__name__)

LOOK_EVERY_S = 1.0


async def tell_what_redis_forgets(redis: Redis, stopping: asyncio.Event) -> None:
    """Log it where redis evicts keys. Waits for a redis that is away until told to stop."""
    while not stopping.is_set():
        with suppress(RedisError):
            if (sentence := await forgotten(redis)) is not None:
                log.error("redis_forgets", reason=sentence, advice=ADVICE)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), LOOK_EVERY_S)


async def forgotten(redis: Redis) -> str | None:
    """Say what redis forgets when it is full; None where it keeps all. Raises `RedisError`."""
    return forgetting(await redis.info("memory"))
