"""Every event of a room, as the token service serves them."""

from redis.asyncio import Redis

from harness.stack import Stack
from protocol.events import EVENT_FIELD, Event, events_key, read_event


async def room_events(stack: Stack, room: str) -> list[Event]:
    """Return every event of a room so far."""
    async with Redis.from_url(stack.redis_url) as redis:
        entries = await redis.xrange(events_key(room))
    return [read_event(dict(fields or {})[EVENT_FIELD.encode()]) for _, fields in entries or ()]
