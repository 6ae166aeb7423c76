"""Reads the fleet out of redis. Calls raise `RedisError` where redis is away."""

from typing import Any

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis

from protocol.heartbeat import HEARTBEAT_PATTERN, Heartbeat
from token_service.fleet.fleet import Fleet
from token_service.fleet.schedule import SCHEDULE_KEY, Schedule

log = structlog.stdlib.get_logger(__name__)


class FleetReader:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def fleet(self, redis: Redis | None = None) -> Fleet:
        """Return all live workers now, by name, with the schedule.

        Heartbeats are read after the schedule: what has just left it, a heartbeat already counts.
        """
        redis = redis or self._redis
        fields: Any = await redis.hgetall(SCHEDULE_KEY)
        time: Any = await redis.time()
        found = redis.scan_iter(match=HEARTBEAT_PATTERN, count=1000)
        keys = sorted([key async for key in found])
        beats = await redis.mget(keys) if keys else []
        read = [_read(text) for text in beats if text is not None]
        workers = tuple(heartbeat for heartbeat in read if heartbeat is not None)
        return Fleet(workers, Schedule(fields, time[0] + time[1] / 1e6))


def _read(text: str | bytes) -> Heartbeat | None:
    try:
        return Heartbeat.model_validate_json(text)
    except ValidationError as error:
        log.warning("heartbeat_unreadable", faults=error.error_count())
        return None
