"""Tokens that were given out, by room, and those that were revoked.

LiveKit knows a token's signature and end only, so whoever joins with a revoked one is removed: on
the webhook, and on the poll behind it. Every call raises `RedisError` where redis is away.
"""

import time
from collections.abc import Iterable
from typing import Any

import structlog
from livekit import api
from redis.asyncio import Redis

from protocol import wire
from protocol.promise import fresh_id
from protocol.settings import Settings
from token_service.grants import Person, participant_token
from token_service.rooms import Rooms, is_present

log = structlog.stdlib.get_logger(__name__)

TOKENS_KEY = "moshi:tokens:{room}"  # token id → identity
REVOKED_KEY = "moshi:revoked:{room}"  # token ids
REVOKED_ROOMS_KEY = "moshi:revoked"  # rooms by when their revoked tokens may be forgotten
REMEMBERED_S = 86_400  # LiveKit renews the tokens of those who are in a room, for as long as that


class Passes:
    """Gives out, revokes, and removes who should not be there."""

    def __init__(self, redis: Redis, rooms: Rooms, settings: Settings) -> None:
        self._redis = redis
        self._rooms = rooms
        self._settings = settings

    async def mint(self, person: Person) -> tuple[str, str]:
        """Give a token and its id."""
        token_id = fresh_id()
        key = TOKENS_KEY.format(room=person.room)
        async with self._redis.pipeline() as pipe:
            pipe.hset(key, token_id, person.identity)
            pipe.expire(key, REMEMBERED_S)
            await pipe.execute()
        return participant_token(person, token_id, self._settings), token_id

    async def of(self, room: str, identity: str | None = None) -> list[str]:
        """The ids of a room's tokens; with an identity, of that person's."""
        tokens: Any = await self._redis.hgetall(TOKENS_KEY.format(room=room))
        return [token for token, who in tokens.items() if identity in (None, who)]

    async def revoke(self, room: str, token_ids: Iterable[str]) -> None:
        """Let these tokens be good for nothing, and who came with them go."""
        ids = list(token_ids)
        if not ids:
            return
        key = REVOKED_KEY.format(room=room)
        async with self._redis.pipeline() as pipe:
            pipe.sadd(key, *ids)
            pipe.expire(key, REMEMBERED_S)
            pipe.zadd(REVOKED_ROOMS_KEY, {room: time.time() + REMEMBERED_S})
            await pipe.execute()
        await self.remove_revoked(room)

    async def revoke_all(self, room: str) -> None:
        """Let every token of a room be good for nothing, and remember it as revoked only."""
        ids = await self.of(room)
        await self._redis.delete(TOKENS_KEY.format(room=room))
        await self.revoke(room, ids)

    async def sweep(self, rooms: Iterable[str]) -> None:
        """Remove who came into one of these rooms with a revoked token."""
        await self._redis.zremrangebyscore(REVOKED_ROOMS_KEY, "-inf", time.time())
        guarded: Any = await self._redis.zrange(REVOKED_ROOMS_KEY, 0, -1)
        for room in set(guarded) & set(rooms):
            await self.remove_revoked(room)

    async def remove_revoked(self, room: str) -> None:
        """Look at everybody in a room. Raises `LiveKitAway`."""
        revoked: Any = await self._redis.smembers(REVOKED_KEY.format(room=room))
        for one in await self._rooms.participants(room) if revoked else ():
            if is_present(one) and one.attributes.get(wire.ATTR_TOKEN_ID) in revoked:
                await self._rooms.remove(one.identity, room)
                log.info("revoked_token_removed", room=room)

    async def is_revoked(self, room: str, participant: api.ParticipantInfo) -> bool:
        """Whether somebody came with a revoked token."""
        token_id = participant.attributes.get(wire.ATTR_TOKEN_ID, "")
        found = await self._redis.sismember(REVOKED_KEY.format(room=room), token_id)
        return bool(found)
