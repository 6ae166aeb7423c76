"""Reads the fleet out of redis. Calls raise `RedisError` where redis is away."""

from typing import Any

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis

from protocol.heartbeat import WORKERS_KEY, Heartbeat, heartbeat_key
from protocol.records.parsed import Parsed
from token_service.fleet.fleet import Fleet
from token_service.fleet.schedule import SCHEDULE_KEY, Schedule

log = structlog.stdlib.get_logger(__name__)


class FleetReader:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._heartbeats = Parsed(_read)

    async def fleet(self, redis: Redis | None = None) -> Fleet:
        """Return all live workers now, by name, with the schedule.

        Heartbeats are read after the schedule: they count a reservation that has just left it.
        """
        redis = redis or self._redis
        fields: Any = await redis.hgetall(SCHEDULE_KEY)
        time: Any = await redis.time()
        known: Any = await redis.zrange(WORKERS_KEY, 0, -1)
        ids: list[str] = sorted(known)
        beats: Any = await redis.mget([heartbeat_key(each) for each in ids]) if ids else []
        found = {key: text for key, text in zip(ids, beats, strict=True) if text is not None}
        workers = tuple(self._heartbeats.of(found).values())
        return Fleet(workers, Schedule(fields, time[0] + time[1] / 1e6))


def _read(text: str) -> Heartbeat | None:
    try:
        return Heartbeat.model_validate_json(text)
    except ValidationError as error:
        log.warning("heartbeat_unreadable", faults=error.error_count())
        return None
