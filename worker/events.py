"""Events of rooms on their way into redis, where the token service reads them.

`emit` may be called from any thread; `run` writes on the main loop. Events are news, not truth:
when redis is away for long, the oldest are dropped and calls go on.
"""

import asyncio

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from protocol.events import EVENT_FIELD, EVENTS_KEPT, EVENTS_TTL_S, Event, events_key

log = structlog.get_logger(__name__)

WAITING_MOST = 1000


class EventWriter:
    """Writes events to each room's stream."""

    def __init__(self, redis_url: str) -> None:
        self._redis = Redis.from_url(redis_url, socket_timeout=1.0, socket_connect_timeout=1.0)
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._waiting: asyncio.Queue[tuple[str, Event] | None] = asyncio.Queue()

    def emit(self, room: str, event: Event) -> None:
        """Write an event when its turn comes. Any thread."""
        self._loop.call_soon_threadsafe(self._put, (room, event))

    def stop(self) -> None:
        """End `run` once everything before is written, or redis is away."""
        self._stopping = True
        self._waiting.put_nowait(None)

    async def run(self) -> None:
        """Write until stopped."""
        while (item := await self._waiting.get()) is not None:
            try:
                await self._write(*item)
            except RedisError as error:
                log.warning("event_lost", error=type(error).__name__)
                if self._stopping:
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
