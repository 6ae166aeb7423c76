"""Places: slots held for a room between the promise and its host, and the line of who waits.

A place is all slots that a room needs, on one worker, held for a time and decided in one step of
redis (`places.lua`), so that two requests never get the same slots. LiveKit knows nothing of it:
the dispatch names the worker. Rooms in the line have people in them and wait for a host.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from protocol.heartbeat import heartbeat_key
from token_service.fleet.holds import HOLDS_KEY
from token_service.fleet.reader import PLACES_KEY, Fleet

LINE_KEY = "moshi:line"  # rooms by when they came
NEEDS_KEY = "moshi:line:needs"  # room → slots
TAKE = Path(__file__).with_name("reservations.lua").read_text(encoding="utf-8")
FIRST = 0.0  # in the line: who had a host and lost it comes before everybody else


class Reservations:
    """Holds places and keeps the line. Every call raises `RedisError` where redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._take = redis.register_script(TAKE)

    async def take(self, room: str, slots: int, hold_s: float, fleet: Fleet) -> str | None:
        """Hold slots for a room; gives the worker that has them, `None` where none has.

        A room that holds a place keeps it, with more slots where they are free, and no shorter.
        """
        workers = [heartbeat_key(worker.worker_id) for worker in fleet.takers]
        chosen = await self._take(
            keys=[PLACES_KEY, LINE_KEY, NEEDS_KEY, *workers],
            args=[room, slots, int(hold_s * 1000)],
        )
        return str(chosen) or None

    async def release(self, room: str) -> None:
        """Hold nothing for a room any more, and let it wait no longer."""
        await self._redis.hdel(PLACES_KEY, room)
        await self.leave_line(room)

    async def settle(self, rooms: Iterable[str]) -> None:
        """Hold nothing for rooms that are hosted: their heartbeat counts them from now on.

        Else a room that is over soon would hold its place until the time is over, too.
        """
        if names := list(rooms):
            await self._redis.hdel(PLACES_KEY, *names)
            await self._redis.hdel(HOLDS_KEY, *names)  # somebody came

    async def leave_line(self, room: str) -> None:
        """Let a room wait no longer."""
        async with self._redis.pipeline() as pipe:
            pipe.zrem(LINE_KEY, room)
            pipe.hdel(NEEDS_KEY, room)
            await pipe.execute()

    async def wait(self, room: str, slots: int, since_s: float) -> None:
        """Put a room into the line, behind those who came before `since_s`."""
        async with self._redis.pipeline() as pipe:
            pipe.zadd(LINE_KEY, {room: since_s}, nx=True)
            pipe.hset(NEEDS_KEY, room, str(slots))
            await pipe.execute()

    async def line(self) -> list[str]:
        """The rooms that wait, first come first."""
        return [str(room) for room in await self._redis.zrange(LINE_KEY, 0, -1)]

    async def position(self, room: str, since_s: float) -> int:
        """Which place in the line a room has, or would have that came at `since_s`."""
        rank: Any = await self._redis.zrank(LINE_KEY, room)
        if rank is not None:
            return int(rank) + 1
        return int(await self._redis.zcount(LINE_KEY, "-inf", since_s)) + 1
