"""Promises in redis: what each room was promised, and which dispatches are still awaited.

Keys: protocol's, and eight of our own. Every call raises `RedisError` where redis is away.
Who changes a promise holds the room's lock (`alone`); reading needs none.
"""

import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.lock import Lock
from redis.exceptions import LockNotOwnedError

from protocol.errors import InvalidInput
from protocol.heartbeat import HEARTBEAT_TTL_S
from protocol.room_spec import RoomSpec, spec_key
from token_service.auth.callers import ANYONE
from token_service.errors import Unavailable

log = structlog.stdlib.get_logger(__name__)

AWAITED_KEY = "moshi:awaited:{room}:{generation}"  # a dispatch that may still become a host
CAME_KEY = "moshi:came:{room}"  # the last generation whose host was there
DISPATCHES_KEY = "moshi:dispatches:{room}"  # how many lately
SESSION_KEY = "moshi:session:{id}"  # its room
OVER_KEY = "moshi:over:{id}"  # there once the session has ended
OWNED_KEY = "moshi:sessions:{owner}"  # its sessions by when they were opened
OWNED_KEPT = 1000
MEMORY_KEY = "moshi:memory"  # since when redis holds our keys, epoch in seconds
LOCK_KEY = "moshi:lock:{room}"
LOCK_S = 5.0  # who dies with it is waited for no longer; who only froze writes nothing any more
WRITE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
return 1
"""
NAMELESS = frozenset({"", ANYONE.id})  # owners
DISPATCH_GRACE_S = 10.0  # a host is there within a second; a long prompt on a CPU takes longer
DISPATCH_GRACE_MAX_S = 30.0
DISPATCHES_REMEMBERED_S = 120
CALM_DISPATCHES = 2  # after so many, the wait is kept also where a host had come: it does not last


def grace_s(dispatches: int) -> float:
    """How long the n-th dispatch in a row is awaited before the next; doubles up to a limit."""
    return min(DISPATCH_GRACE_S * 2.0 ** min(dispatches - 1, 10), DISPATCH_GRACE_MAX_S)


class LockLost(Unavailable):
    """The room's lock ran out, and perhaps somebody else has changed the promise since."""

    def __init__(self) -> None:
        super().__init__("busy", "The room was changed meanwhile. Try again.", 1)


class SpecStore:
    """Reads and writes promises and the traces of dispatches."""

    def __init__(self, redis: Redis, ttl_s: int, unclaimed_s: int | None = None) -> None:
        """Let promises live for `ttl_s`, and those that nobody may come for later `unclaimed_s`."""
        self._redis = redis
        self._ttl_s = ttl_s
        self._unclaimed_s = min(ttl_s, unclaimed_s or ttl_s)
        self._write = redis.register_script(WRITE)

    def _life_s(self, spec: RoomSpec) -> int:
        """How long a promise is kept from now on.

        Until a host was dispatched a mere token's is of no use to anybody once the token is over;
        nor is a nameless caller's session, of which anybody may open any number.
        """
        claimed = spec.generation > 0 or (spec.opener and spec.owner not in NAMELESS)
        return self._ttl_s if claimed else self._unclaimed_s

    @asynccontextmanager
    async def alone(self, room: str, wait_s: float) -> AsyncGenerator[Lock | None]:
        """Hold a room's lock over all replicas; gives none where it was not free in time."""
        lock = self._redis.lock(
            LOCK_KEY.format(room=room), timeout=LOCK_S, sleep=0.02, thread_local=False
        )
        held = await lock.acquire(blocking=wait_s > 0, blocking_timeout=wait_s or None)
        try:
            yield lock if held else None
        finally:
            if held:
                await _release(lock, room)

    async def read(self, room: str) -> RoomSpec | None:
        """The room's promise, if there is one."""
        return _read(await self._redis.get(spec_key(room)))

    async def of(self, rooms: Iterable[str]) -> list[RoomSpec]:
        """The promises of those of the rooms that were promised something."""
        keys = [spec_key(room) for room in rooms]
        written = await self._redis.mget(keys) if keys else []
        return [spec for text in written if (spec := _read(text)) is not None]

    async def write(self, spec: RoomSpec, lock: Lock | None = None) -> None:
        """Give the room this promise, for as long as promises live.

        With a lock only while that is still held: who was frozen or slow under it does not write
        over what others promised since. Raises `LockLost`.
        """
        key, text = spec_key(spec.room), spec.model_dump_json()
        life_s = self._life_s(spec)
        if lock is None:
            await self._redis.set(key, text, ex=life_s)
        elif not await self._write(
            keys=[lock.name, key], args=[lock.local.token or b"", text, life_s]
        ):
            raise LockLost
        async with self._redis.pipeline() as pipe:
            self._index(pipe, spec, listed=bool(spec.opener or spec.generation))
            await pipe.execute()

    def _index(self, pipe: Pipeline, spec: RoomSpec, *, listed: bool) -> None:
        """Let the session be found by its id, and by its owner unless a token alone promised it."""
        if spec.session:
            life_s = self._life_s(spec)
            pipe.set(SESSION_KEY.format(id=spec.session), spec.room, ex=life_s)
        if spec.session and listed:
            owned = OWNED_KEY.format(owner=spec.owner)
            pipe.zadd(owned, {spec.session: spec.opened_s})
            pipe.zremrangebyrank(owned, 0, -OWNED_KEPT - 1)
            pipe.expire(owned, self._ttl_s)

    async def of_session(self, session: str) -> RoomSpec | None:
        """The promise of a session, also of one that has ended lately."""
        room: Any = await self._redis.get(SESSION_KEY.format(id=session))
        spec = await self.read(room) if room is not None else None
        return spec if spec is not None and spec.session == session else None

    async def end(self, spec: RoomSpec) -> None:
        """Remember that a session has ended, also when its room is promised to the next one."""
        await self._redis.set(OVER_KEY.format(id=spec.session), 1, ex=self._ttl_s)

    async def is_over(self, spec: RoomSpec) -> bool:
        """Whether a session has ended."""
        return bool(await self._redis.exists(OVER_KEY.format(id=spec.session)))

    async def owned(self, owner: str, most: int) -> list[RoomSpec]:
        """The promises of somebody's latest sessions, the latest first."""
        owned = OWNED_KEY.format(owner=owner)
        ids: Any = await self._redis.zrange(owned, 0, most - 1, desc=True)
        keys = [SESSION_KEY.format(id=each) for each in ids]
        rooms: Any = await self._redis.mget(keys) if keys else []
        if gone := [each for each, room in zip(ids, rooms, strict=True) if room is None]:
            await self._redis.zrem(owned, *gone)
        wanted = {room: each for each, room in zip(ids, rooms, strict=True) if room is not None}
        return [each for each in await self.of(wanted) if each.session == wanted[each.room]]

    async def is_restoring(self) -> bool:
        """Return whether redis was found empty so lately that hosts still write their specs back.

        A worker does so with its next heartbeat. The first call that finds redis empty notes when.
        """
        now_s = time.time()
        since: Any = await self._redis.set(MEMORY_KEY, now_s, nx=True, get=True)
        return now_s - float(since or now_s) < HEARTBEAT_TTL_S

    async def touch(self, specs: Iterable[RoomSpec]) -> None:
        """Let the promises of rooms in use live on, and what is kept for them."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for spec in specs:
                pipe.expire(spec_key(spec.room), self._life_s(spec))
                self._index(pipe, spec, listed=True)
            await pipe.execute()

    async def change(self, spec: RoomSpec, lock: Lock | None = None, **fields: Any) -> RoomSpec:
        """Write the promise with other fields and give it. Raises `LockLost`."""
        changed = spec.model_copy(update=fields)
        await self.write(changed, lock)
        return changed

    async def next_generation(
        self, spec: RoomSpec, worker: str, lock: Lock | None = None
    ) -> RoomSpec:
        """Write the promise with the next generation, for a worker, and begin to await its host.

        Raises `LockLost`.
        """
        upcoming = spec.model_copy(update={"generation": spec.generation + 1, "worker": worker})
        dispatches = DISPATCHES_KEY.format(room=spec.room)
        count = await self._redis.incr(dispatches)
        await self._redis.expire(dispatches, DISPATCHES_REMEMBERED_S)
        await self._redis.set(_awaited_key(upcoming), 1, px=int(grace_s(count) * 1000))
        await self.write(upcoming, lock)
        return upcoming

    async def awaited(self, spec: RoomSpec) -> bool:
        """Whether this generation was dispatched so lately that its host may still come."""
        return bool(await self._redis.exists(_awaited_key(spec)))

    async def await_no_more(self, spec: RoomSpec) -> None:
        """The dispatch came to nothing: the next may be made at once."""
        await self._redis.delete(_awaited_key(spec))

    async def dispatched_rarely(self, specs: Iterable[RoomSpec]) -> list[RoomSpec]:
        """Those whose rooms were dispatched seldom enough lately to be dispatched again at once."""
        asked = list(specs)
        keys = [DISPATCHES_KEY.format(room=spec.room) for spec in asked]
        counts: Any = await self._redis.mget(keys) if keys else []
        return [
            spec
            for spec, count in zip(asked, counts, strict=True)
            if int(count or 0) <= CALM_DISPATCHES
        ]

    async def arrived(self, specs: Iterable[RoomSpec]) -> None:
        """Their hosts are there: if one is lost now, it is replaced at once, unless it was often.

        A host that was there may leave; that is no failure of its worker's.
        """
        hosted = list(specs)
        async with self._redis.pipeline(transaction=False) as pipe:
            for spec in hosted:
                pipe.set(CAME_KEY.format(room=spec.room), spec.generation, ex=self._ttl_s)
            for spec in await self.dispatched_rarely(hosted):
                pipe.delete(_awaited_key(spec))
            await pipe.execute()

    async def came(self, spec: RoomSpec) -> bool:
        """Whether the host of this generation was there."""
        came: Any = await self._redis.get(CAME_KEY.format(room=spec.room))
        return came == str(spec.generation)


def _awaited_key(spec: RoomSpec) -> str:
    return AWAITED_KEY.format(room=spec.room, generation=spec.generation)


def _read(text: str | bytes | None) -> RoomSpec | None:
    if text is None:
        return None
    try:
        return RoomSpec.from_metadata(text if isinstance(text, str) else text.decode())
    except InvalidInput:
        log.warning("promise_unreadable")
        return None


async def _release(lock: Lock, room: str) -> None:
    try:
        await lock.release()
    except LockNotOwnedError:
        log.warning("room_lock_expired", room=room)
