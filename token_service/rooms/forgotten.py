"""Rooms that LiveKit has forgotten: its own redis lost its memory, and the calls in them go on.

livekit-server 1.13.5 keeps in redis, where it has one, which rooms there are and who is in them
(pkg/service/redisstore.go). Emptied, it lists such a room when a participant comes or leaves, each
person when that person changes something, and removes nobody whom it does not list; to join, to
dispatch and to close still work. So in such a room people count as present until its host says
that it left, and nobody is told that a person was removed who may be there.
Calls raise `RedisError` where redis is away.
"""

import asyncio
from collections.abc import Iterable

import structlog
from redis.asyncio import Redis

from token_service.errors import Unavailable
from token_service.rooms.livekit import LiveKitRooms

log = structlog.stdlib.get_logger(__name__)

FORGOTTEN_KEY = "moshi:forgotten"  # rooms


class LiveKitForgot(Unavailable):
    """LiveKit does not list who is in this room, and removes nobody whom it does not list."""

    def __init__(self) -> None:
        super().__init__(
            "livekit_forgot",
            "LiveKit's own redis lost its memory: it does not list who is in this room, and cannot "
            "remove an unlisted person. End the session: that closes the room.",
            10,
        )


class Forgotten:
    """Remembers such rooms, over all replicas, until they are over."""

    def __init__(self, redis: Redis, rooms: LiveKitRooms) -> None:
        self._redis = redis
        self._rooms = rooms

    async def look(self, unlisted: Iterable[str]) -> set[str]:
        """Find which of the hosted rooms that LiveKit does not list are there all the same.

        Gives them and those that were found before. Raises `LiveKitAway`.
        """
        known = await self._all()
        if new := set(unlisted) - known:
            new -= set(await self._rooms.names(new))  # it has come since LiveKit was asked
            alive = await asyncio.gather(*(self._rooms.lives(room) for room in new))
            for room in [room for room, lives in zip(new, alive, strict=True) if lives]:
                await self._redis.sadd(FORGOTTEN_KEY, room)
                log.warning("livekit_forgot", room=room)
                known.add(room)
        return known

    async def has(self, room: str) -> bool:
        """Whether LiveKit has forgotten who is in this room."""
        return bool(await self._redis.sismember(FORGOTTEN_KEY, room))

    async def over(self, *rooms: str) -> None:
        """Note that these rooms are empty."""
        await self._redis.srem(FORGOTTEN_KEY, *rooms)

    async def _all(self) -> set[str]:
        return {str(room) for room in await self._redis.smembers(FORGOTTEN_KEY)}
