"""Guest links: a room, so many people, an end. A signed pass that redis knows until it is over.

The signature's key is made of LiveKit's secret and is not it: no pass is a LiveKit token.
"""

import time
from http import HTTPStatus
from typing import Any

import jwt
from redis.asyncio import Redis

from protocol.config.secret import key_for
from protocol.config.settings import Settings
from protocol.room_spec import RoomSpec, fresh_id
from token_service.auth.callers import Caller, GuestPass, Scope
from token_service.errors import Refused

PREFIX = "mrg_"
AUDIENCE = "moshi-rooms guest"
LINK_KEY = "moshi:guest:{id}"  # there as long as the link is good
COMERS_KEY = "moshi:guests:{id}"  # the identities that came by it


class GuestLinks:
    """Makes links, reads them, counts who comes by them."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._key = key_for(settings, AUDIENCE)

    async def invite(self, spec: RoomSpec, people: int, lives_s: int) -> tuple[str, GuestPass]:
        """Make a link into a session's room; gives what its bearer shows."""
        guest = GuestPass(fresh_id(), spec.room, spec.session, people)
        claims = {
            "aud": AUDIENCE,
            "jti": guest.id,
            "owner": spec.owner,
            "room": guest.room,
            "session": guest.session,
            "people": people,
            "exp": int(time.time()) + lives_s,
        }
        await self._redis.set(LINK_KEY.format(id=guest.id), guest.session, ex=lives_s)
        return PREFIX + jwt.encode(claims, self._key, algorithm="HS256"), guest

    async def caller(self, bearer: str) -> Caller | None:
        """Whom the bearer acts for, and where; `None` for what is no link or not any more."""
        try:
            claims: dict[str, Any] = jwt.decode(
                bearer.removeprefix(PREFIX),
                self._key,
                algorithms=["HS256"],
                audience=AUDIENCE,
                options={"require": ["exp", "jti"]},
            )
        except jwt.PyJWTError:
            return None
        guest = GuestPass(claims["jti"], claims["room"], claims["session"], claims["people"])
        if not await self.is_good(guest):
            return None
        return Caller(claims["owner"], frozenset({Scope.TALK}), guest)

    async def is_good(self, guest: GuestPass) -> bool:
        """Whether a link was neither taken back nor is over."""
        return bool(await self._redis.exists(LINK_KEY.format(id=guest.id)))

    async def count(self, guest: GuestPass, identity: str) -> None:
        """Let one more person in by a link; who comes again counts once. Raises `Refused`."""
        comers = COMERS_KEY.format(id=guest.id)
        left_s = max(await self._redis.ttl(LINK_KEY.format(id=guest.id)), 1)
        async with self._redis.pipeline() as pipe:
            pipe.sadd(comers, identity)
            pipe.scard(comers)
            pipe.expire(comers, left_s)
            is_new, many, _ = await pipe.execute()
        if is_new and many > guest.people:
            await self._redis.srem(comers, identity)
            raise Refused(
                HTTPStatus.FORBIDDEN,
                "guest_link_used_up",
                f"This link was for {guest.people} people, and they have come.",
            )

    async def joined_by(self, guest_id: str) -> set[str]:
        """Who came by a link."""
        comers: Any = await self._redis.smembers(COMERS_KEY.format(id=guest_id))
        return set(comers)

    async def uninvite(self, session: str, guest_id: str) -> None:
        """End a session's link before its time. Raises `Refused` where it has no such link."""
        key = LINK_KEY.format(id=guest_id)
        if await self._redis.get(key) != session:
            raise Refused(HTTPStatus.NOT_FOUND, "guest_unknown", "There is no such link.")
        await self._redis.delete(key)
