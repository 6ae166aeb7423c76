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

from token_service.errors import Unavailable
from token_service.fleet.fleet import Fleet
from token_service.fleet.reader import FleetReader
from token_service.rooms.livekit import LiveKitRooms
from token_service.rooms.store import SpecStore

log = structlog.stdlib.get_logger(__name__)


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

    def __init__(self, specs: SpecStore, workers: FleetReader, rooms: LiveKitRooms) -> None:
        self._specs = specs
        self._workers = workers
        self._rooms = rooms

    async def look(self, unlisted: Iterable[str], fleet: Fleet) -> set[str]:
        """Find which of the hosted rooms that LiveKit does not list exist all the same.

        Returns them and those that were found before. Raises `LiveKitAway`.
        """
        known = {room for room, entry in fleet.schedule.rooms.items() if entry.unlisted}
        if new := set(unlisted) - known:
            new -= set(await self._rooms.names(new))  # it was created since LiveKit was asked
            alive = await asyncio.gather(*(self._rooms.lives(room) for room in new))
            for room in [room for room, lives in zip(new, alive, strict=True) if lives]:
                await self._mark(room, is_unlisted=True)
                log.warning("livekit_forgot", room=room)
                known.add(room)
        return known

    async def has(self, room: str) -> bool:
        """Return whether LiveKit has forgotten the participants of this room."""
        return (await self._workers.fleet()).schedule.room(room).unlisted

    async def over(self, room: str) -> None:
        """Note that this room is empty."""
        if await self.has(room):
            await self._mark(room, is_unlisted=False)

    async def _mark(self, room: str, *, is_unlisted: bool) -> None:
        await self._specs.schedule(lambda now: now.schedule.update(room, unlisted=is_unlisted))
