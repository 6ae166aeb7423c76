"""A room's stream of events in redis: this service adds its own and reads the workers' too.

Spoken words go through here and into no log. Calls raise `RedisError` where redis is away.
"""

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis

from protocol.events import (
    EVENT,
    EVENT_FIELD,
    EVENTS_KEPT,
    EVENTS_TTL_S,
    EndedEvent,
    Event,
    TurnEvent,
    WaitingEvent,
    events_key,
    read_event,
)
from token_service.refusals import Unavailable

log = structlog.stdlib.get_logger(__name__)

BLOCK_MS = 1000  # shorter than the connection's time-out
AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class StoredEvent:
    id: str
    event: Event


class EventStore:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(self, room: str, event: Event) -> None:
        key = events_key(room)
        async with self._redis.pipeline() as pipe:
            entry: dict[Any, Any] = {EVENT_FIELD: EVENT.dump_json(event).decode()}
            pipe.xadd(key, entry, maxlen=EVENTS_KEPT, approximate=True)
            pipe.expire(key, EVENTS_TTL_S)
            await pipe.execute()

    async def waits(self, room: str, reason: Unavailable) -> None:
        """Add that a room waits, and why."""
        await self.add(room, WaitingEvent(at_s=time.time(), code=reason.code, detail=str(reason)))
        log.info("room_waits", room=room, code=reason.code)

    async def follow(self, room: str, after: str) -> AsyncGenerator[StoredEvent | None]:
        """Yield events after an id as they come; `None` each second in which none came."""
        while True:
            entries: Any = await self._redis.xread({events_key(room): after}, AT_ONCE, BLOCK_MS)
            if not entries:
                yield None
            for after, fields in entries[0][1] if entries else ():
                if (event := _read(fields)) is not None:
                    yield StoredEvent(after, event)

    async def last_id(self, room: str) -> str:
        """Return the id of the latest event; `0` if there is none."""
        entries: Any = await self._redis.xrevrange(events_key(room), count=1)
        return str(entries[0][0]) if entries else "0"

    async def stored(self, room: str, after: str = "0") -> list[StoredEvent]:
        """Return the events after an id that the stream still holds."""
        entries: Any = await self._redis.xrange(events_key(room), f"({after}")
        events = [(event_id, _read(fields)) for event_id, fields in entries]
        return [StoredEvent(event_id, event) for event_id, event in events if event is not None]

    async def so_far(self, room: str) -> list[Event]:
        return [stored.event for stored in await self.stored(room)]

    async def all_sent(self, room: str, after: str) -> bool:
        """Return whether `ended` is stored, and nothing after this id."""
        stored = await self.stored(room)
        ended = [each for each in stored if isinstance(each.event, EndedEvent)]
        return bool(ended) and stored[-1].id == after

    async def turns(self, room: str) -> list[TurnEvent]:
        return [each for each in await self.so_far(room) if isinstance(each, TurnEvent)]

    async def forget(self, room: str) -> None:
        """Delete the events of the room's older sessions: they may be of another caller."""
        await self._redis.delete(events_key(room))


def _read(fields: dict[str, str]) -> Event | None:
    try:
        return read_event(fields.get(EVENT_FIELD, ""))
    except ValidationError:
        log.warning("event_unreadable")
        return None
