"""Writes the events of rooms into redis, where the token service reads them, and reads a room's.

All that wait go in one pipeline, so that a redis far away keeps up with many rooms. Calls go on
without redis: while it is away, the oldest events are dropped.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from typing import Any

import structlog
from prometheus_client import Counter
from pydantic import ValidationError
from redis.exceptions import RedisError

from protocol.events import (
    EVENT_FIELD,
    EVENTS_KEPT,
    EVENTS_TTL_S,
    Event,
    events_key,
    read_event,
)
from protocol.redis.client import open_redis
from worker.loops import result_from

log = structlog.get_logger(__name__)

WAITING_MOST = 1000
READ_WITHIN_S = 1.5
ASKS_EVERY_S = 0.5  # whether redis is back

LOST = Counter("moshi_lost_events", "Events of rooms that redis did not take")


class EventWriter:
    """Adds events to each room's stream. `emit` may be called from any thread."""

    def __init__(self, redis_url: str) -> None:
        self._redis = open_redis(redis_url)
        self._loop = asyncio.get_running_loop()
        self._is_stopping = False
        self._waiting: deque[tuple[str, Event]] = deque()
        self._changed = asyncio.Event()

    def emit(self, room: str, event: Event) -> None:
        """Write an event after those before it. Any thread."""
        self._loop.call_soon_threadsafe(self._put, (room, event))

    async def read(self, room: str) -> list[Event]:
        """Return the stored events of a room; none where redis does not answer. Any loop."""
        try:
            return await result_from(self._loop, self._read(room), READ_WITHIN_S)
        except (RedisError, TimeoutError) as error:
            log.warning("events_not_read", error=type(error).__name__)
            return []

    def stop(self) -> None:
        """End `run` once all events up to now are written, or some cannot be written."""
        self._loop.call_soon(self._end)

    async def run(self) -> None:
        """Write events as they come until stopped; log once when they begin to be lost."""
        lost = 0
        while self._waiting or not self._is_stopping:
            await self._changed.wait()
            events, self._waiting = self._waiting, deque()
            if not self._is_stopping:
                self._changed.clear()
            try:
                await self._write(events)
            except RedisError as error:  # it may have taken some: none of them is written twice
                LOST.inc(len(events))
                if not lost:
                    log.warning("events_lost", events=len(events), error=type(error).__name__)
                lost += len(events)
                await self._wait_for_redis()
                if self._is_stopping:
                    break
            else:
                if lost and events:
                    log.info("events_kept_again", lost_events=lost)
                    lost = 0
        await self._redis.aclose()

    def _end(self) -> None:
        self._is_stopping = True
        self._changed.set()

    async def _read(self, room: str) -> list[Event]:
        events: list[Event] = []
        entries: Any = await self._redis.xrange(events_key(room))
        for _, fields in entries:
            with contextlib.suppress(ValidationError):  # of a newer version
                events.append(read_event(fields[EVENT_FIELD.encode()]))
        return events

    def _put(self, item: tuple[str, Event]) -> None:
        if len(self._waiting) >= WAITING_MOST:
            self._waiting.popleft()
            LOST.inc()
        self._waiting.append(item)
        self._changed.set()

    async def _write(self, events: Iterable[tuple[str, Event]]) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            rooms: set[str] = set()
            for room, event in events:
                if text := _written(event):
                    rooms.add(room)
                    pipe.xadd(events_key(room), {EVENT_FIELD: text}, maxlen=EVENTS_KEPT)
            for room in rooms:
                pipe.expire(events_key(room), EVENTS_TTL_S)
            await pipe.execute()

    async def _wait_for_redis(self) -> None:
        """Return once redis answers, or `run` is to end."""
        while not self._is_stopping:
            with contextlib.suppress(RedisError):
                await self._redis.ping()
                return
            await asyncio.sleep(ASKS_EVERY_S)


def _written(event: Event) -> str:
    """Return an event as JSON; "" where that cannot be: it costs no other event."""
    try:
        return event.model_dump_json()
    except ValueError as error:  # half a surrogate pair is in no UTF-8
        LOST.inc()
        log.warning("event_not_written", type=event.type, error=type(error).__name__)
        return ""
