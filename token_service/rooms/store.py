"""The specs of rooms in redis, and the indices by which sessions are found.

Every call raises `RedisError` where redis is away. A spec and the schedule are changed together
(`commit`, `commits.py`).
"""

import time
from collections.abc import Callable, Iterable
from itertools import islice
from math import ceil
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from protocol.heartbeat import HEARTBEAT_TTL_S
from protocol.records.parsed import Parsed
from protocol.room_spec import RoomSpec, read_spec, spec_key
from token_service.auth.callers import ANYONE
from token_service.auth.guest_links import LONGEST_S
from token_service.fleet.fleet import Fleet
from token_service.fleet.reader import FleetReader
from token_service.fleet.schedule import SCHEDULE_KEY
from token_service.refusals import SpecUnreadable, Unavailable
from token_service.rooms.commits import Commits

SESSION_KEY = "moshi:session:{id}"  # its room
OWNED_KEY = "moshi:sessions:{owner}"  # its sessions by when they were opened
OWNED_KEPT = 1000
SINCE_FIELD = "since"  # of the schedule: when redis was found empty, epoch in seconds
NAMELESS = frozenset({"", ANYONE.id})  # owners

T = TypeVar("T")


class SpecChanged(Unavailable):
    """The room's spec was changed by another request since it was read."""

    def __init__(self) -> None:
        super().__init__("busy", "The room was changed meanwhile. Try again.", 1)


class SpecStore:
    def __init__(
        self, redis: Redis, workers: FleetReader, ttl_s: int, unclaimed_s: int | None = None
    ) -> None:
        """Keep specs for `ttl_s`, those that nobody has claimed (`_life_s`) for `unclaimed_s`."""
        self._redis = redis
        self.ttl_s = ttl_s
        self._unclaimed_s = min(ttl_s, unclaimed_s or ttl_s)
        self._commits = Commits(redis, workers, read_spec, self._write)

    def _life_s(self, spec: RoomSpec) -> int:
        """Return how long to keep a spec from now on.

        Until a host was dispatched, the spec of a mere token is useless once the token is over; so
        is a nameless caller's session, of which any number may be opened. A guest link leads to its
        session until it ends.
        """
        claimed = spec.generation > 0 or (spec.opener and spec.owner not in NAMELESS)
        life_s = self.ttl_s if claimed else self._unclaimed_s
        return life_s if spec.ended else max(life_s, ceil(spec.invited_until_s - time.time()))

    async def read(self, room: str) -> RoomSpec | None:
        """Return a room's spec. Raises `SpecUnreadable`: a room that has one is not free."""
        text: Any = await self._redis.get(spec_key(room))
        spec = read_spec(text)
        if text is not None and spec is None:
            raise SpecUnreadable
        return spec

    async def of(
        self, rooms: Iterable[str], parsed: Parsed[RoomSpec] | None = None
    ) -> list[RoomSpec]:
        """Return the specs of rooms that can be read.

        `parsed` keeps them for a caller that asks again and again.
        """
        rooms = list(rooms)
        keys = [spec_key(room) for room in rooms]
        written: Any = await self._redis.mget(keys) if keys else []
        texts = {room: text for room, text in zip(rooms, written, strict=True) if text is not None}
        return list((parsed or Parsed(read_spec)).of(texts).values())

    async def commit(
        self, room: str, decide: Callable[[RoomSpec | None, Fleet], tuple[RoomSpec | None, T]]
    ) -> T:
        """Decide on a room, and write its new spec and the schedule that this leaves in one step.

        `decide` gets the current spec and gives the next one and a result. It is called again where
        the spec or the schedule changed before they were written; what it raises writes nothing.
        Raises `SpecUnreadable`.
        """

        result: Any = await self._commits.make(room, decide)
        return result

    def _write(self, pipe: Pipeline, spec: RoomSpec) -> None:
        pipe.set(spec_key(spec.room), spec.model_dump_json(), ex=self._life_s(spec))
        self._index(pipe, spec, listed=bool(spec.opener or spec.generation))

    async def schedule(self, change: Callable[[Fleet], T]) -> T:
        return await self.commit("", lambda _, fleet: (None, change(fleet)))

    def _index(self, pipe: Pipeline, spec: RoomSpec, *, listed: bool) -> None:
        """Let the session be found by its id, and in its owner's list where it is `listed`."""
        if spec.session:
            life_s = self._life_s(spec)
            pipe.set(SESSION_KEY.format(id=spec.session), spec.room, ex=life_s)
        if spec.session and listed:
            owned = OWNED_KEY.format(owner=spec.owner)
            pipe.zadd(owned, {spec.session: spec.opened_s})
            pipe.zremrangebyrank(owned, 0, -OWNED_KEPT - 1)
            pipe.expire(owned, max(self.ttl_s, LONGEST_S))  # one of them may live as long

    async def of_session(self, session: str) -> RoomSpec | None:
        """Return the spec of a session, also of one that has ended lately."""
        room: Any = await self._redis.get(SESSION_KEY.format(id=session))
        spec = await self.read(room) if room is not None else None
        return spec if spec is not None and spec.session == session else None

    async def is_over(self, spec: RoomSpec) -> bool:
        """Return whether a session has ended, also where its room has another one now."""
        now = await self.read(spec.room)
        return now is None or now.ended or now.session != spec.session

    async def owned(self, owner: str, most: int) -> list[RoomSpec]:
        """Return the specs of an owner's latest sessions, the latest first; of a room the last."""
        owned = OWNED_KEY.format(owner=owner)
        ids: Any = await self._redis.zrange(owned, 0, -1, desc=True)
        keys = [SESSION_KEY.format(id=each) for each in ids]
        rooms: Any = await self._redis.mget(keys) if keys else []
        if gone := [each for each, room in zip(ids, rooms, strict=True) if room is None]:
            await self._redis.zrem(owned, *gone)
        latest: dict[str, str] = {}  # by room
        for each, room in zip(ids, rooms, strict=True):
            if room is not None:
                latest.setdefault(room, each)
        wanted = dict(islice(latest.items(), most))
        return [each for each in await self.of(wanted) if each.session == wanted[each.room]]

    async def is_restoring(self) -> bool:
        """Return whether redis was found empty so lately that hosts still write their specs back.

        A worker does so with its next heartbeat. The first call that finds redis empty notes when,
        by redis' clock; one that is set back afterwards ends that time.
        """
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(SCHEDULE_KEY, SINCE_FIELD)
            pipe.time()
            since, now = await pipe.execute()
        now_s = now[0] + now[1] / 1e6
        if since is None:
            await self._redis.hsetnx(SCHEDULE_KEY, SINCE_FIELD, str(now_s))
            return True
        return 0.0 <= now_s - float(since) < HEARTBEAT_TTL_S

    async def unindexed(self, specs: Iterable[RoomSpec]) -> list[RoomSpec]:
        """Return the sessions not found by their ids: redis lost its last writes."""
        listed = [spec for spec in specs if spec.session]
        keys = [SESSION_KEY.format(id=spec.session) for spec in listed]
        rooms: Any = await self._redis.mget(keys) if keys else []
        return [spec for spec, room in zip(listed, rooms, strict=True) if room is None]

    async def touch(self, specs: Iterable[RoomSpec]) -> None:
        """Keep the specs of rooms in use, and their indices, for their whole time from now on."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for spec in specs:
                pipe.expire(spec_key(spec.room), self._life_s(spec))
                self._index(pipe, spec, listed=True)
            await pipe.execute()
