"""Rooms that LiveKit does not list, although calls in them go on: its own redis lost its memory.

livekit-server 1.13.5 keeps rooms and participants in redis, where it has one
(pkg/service/redisstore.go). Emptied, it lists such a room when a participant joins or leaves, each
participant when that changes something, and removes no participant that it does not list; joins,
dispatches and closing still work. So in such a room people count as present until its host has
left, and a removal that cannot be carried out is refused. Calls raise `RedisError` where redis is
away.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from token_service.fleet.fleet import Fleet
from token_service.fleet.reader import FleetReader
from token_service.refusals import Unavailable
from token_service.rooms.livekit import LiveKitRooms
from token_service.rooms.store import SpecStore

log = structlog.stdlib.get_logger(__name__)


class LiveKitForgot(Unavailable):
    """LiveKit does not list this room's participants, and removes none that it does not list."""

    def __init__(self) -> None:
        super().__init__(
            "livekit_forgot",
            "LiveKit's own redis lost its memory: it does not list who is in this room, and cannot "
            "remove an unlisted person. End the session: that closes the room.",
            10,
        )


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Finds such rooms, and marks them in the schedule until they are empty."""

    specs: SpecStore
    workers: FleetReader
    rooms: LiveKitRooms

    async def look(self, unlisted: Iterable[str], fleet: Fleet) -> set[str]:
        """Find which of the hosted rooms that LiveKit does not list exist all the same.

        Returns them and those that were found before. Raises `LiveKitAway`.
        """
        known = {room for room, entry in fleet.schedule.rooms.items() if entry.unlisted}
        if new := set(unlisted) - known:
            new -= set(await self.rooms.names(new))  # it was created since LiveKit was asked
            alive = await asyncio.gather(*(self.rooms.lives(room) for room in new))
            for room in [room for room, lives in zip(new, alive, strict=True) if lives]:
                await self._mark(room, is_unlisted=True)
                log.warning("livekit_forgot", room=room)
                known.add(room)
        return known

    async def has(self, room: str) -> bool:
        """Return whether LiveKit has forgotten the participants of this room."""
        return (await self.workers.fleet()).schedule.room(room).unlisted

    async def over(self, room: str) -> None:
        """Note that this room is empty."""
        await self._mark(room, is_unlisted=False)

    async def _mark(self, room: str, *, is_unlisted: bool) -> None:
        await self.specs.schedule(lambda now: now.schedule.update(room, unlisted=is_unlisted))
