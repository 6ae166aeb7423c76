"""Writes the events of rooms into redis, where the token service reads them.

Calls go on without redis: while it is away, the oldest events are dropped.
"""

import asyncio

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from protocol.events import EVENT_FIELD, EVENTS_KEPT, EVENTS_TTL_S, Event, events_key

log = structlog.get_logger(__name__)

WAITING_MOST = 1000


class EventWriter:
    """Adds events to each room's stream. `emit` may be called from any thread."""

    def __init__(self, redis_url: str) -> None:
        self._redis = Redis.from_url(redis_url, socket_timeout=1.0, socket_connect_timeout=1.0)
        self._loop = asyncio.get_running_loop()
        self._is_stopping = False
        self._waiting: asyncio.Queue[tuple[str, Event] | None] = asyncio.Queue()

    def emit(self, room: str, event: Event) -> None:
        """Write an event after those before it. Any thread."""
        self._loop.call_soon_threadsafe(self._put, (room, event))

    def stop(self) -> None:
        """End `run` once all events are written, or one cannot be written."""
        self._is_stopping = True
        self._waiting.put_nowait(None)

    async def run(self) -> None:
        while (item := await self._waiting.get()) is not None:
            try:
                await self._write(*item)
            except RedisError as error:
                log.warning("event_lost", error=type(error).__name__)
                if self._is_stopping:
                    break
        await self._redis.aclose()

    def _put(self, item: tuple[str, Event]) -> None:
        if self._waiting.qsize() >= WAITING_MOST:
            self._waiting.get_nowait()
        self._waiting.put_nowait(item)

    async def _write(self, room: str, event: Event) -> None:
        key = events_key(room)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.xadd(key, {EVENT_FIELD: event.model_dump_json()}, maxlen=EVENTS_KEPT)
            pipe.expire(key, EVENTS_TTL_S)
            await pipe.execute()
