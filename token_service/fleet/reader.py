"""Reads the fleet out of redis. Calls raise `RedisError` where redis is away."""

from typing import Any

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from protocol.heartbeat import HEARTBEAT_TTL_S, WORKERS_KEY, Heartbeat, heartbeat_key
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
        beats = await _beats(redis)
        found = {key: text for key, text in beats.items() if text is not None}
        workers = tuple(self._heartbeats.of(found).values())
        return Fleet(workers, Schedule(fields, time[0] + time[1] / 1e6))

    async def may_be_incomplete(self) -> bool:
        """Return whether redis began so lately that workers have not written a heartbeat since.

        While it was away, heartbeats ended. A client whose calls were made again in time does not
        notice that it was away.
        """
        try:
            about: Any = await self._redis.info("server")
        except ResponseError:  # some rented ones do not tell
            return False
        is_young = about["uptime_in_seconds"] < HEARTBEAT_TTL_S
        return is_young and None in (await _beats(self._redis)).values()


async def _beats(redis: Redis) -> dict[str, str | None]:
    """Return each known worker's heartbeat, None where it has none, by the workers' ids."""
    known: Any = await redis.zrange(WORKERS_KEY, 0, -1)
    ids: list[str] = sorted(known)
    beats: Any = await redis.mget([heartbeat_key(each) for each in ids]) if ids else []
    return dict(zip(ids, beats, strict=True))


def _read(text: str) -> Heartbeat | None:
    try:
        return Heartbeat.model_validate_json(text)
    except ValidationError as error:
        log.warning("heartbeat_unreadable", faults=error.error_count())
        return None
