"""The tokens of each room, and those of them that were revoked.

LiveKit checks a token's signature and end only, so a participant that joins with a revoked token is
removed: on the webhook, or on the next poll. Every call raises `RedisError` where redis is away.
"""

import math
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from livekit import api
from redis.asyncio import Redis

from protocol import wire
from protocol.config.settings import Settings
from protocol.room_spec import RoomSpec, fresh_id
from token_service.auth.callers import GuestPass
from token_service.auth.grants import Participant, participant_token
from token_service.refusals import Refused, bad_bearer, over
from token_service.rooms.livekit import LiveKitRooms, is_present
from token_service.rooms.store import SpecStore

log = structlog.stdlib.get_logger(__name__)

# A hash: token id → identity; `REVOKED` and the id of each revoked token or link.
TOKENS_KEY = "moshi:tokens:{room}"
REVOKED = "revoked:"
# What is revoked is noted, known or not: other texts would fill redis, and are mistakes.
LINK_ID = re.compile(r"[a-z0-9]{1,32}")
TOKEN_ID = re.compile(rf"{LINK_ID.pattern}(-{LINK_ID.pattern})?")
REVOKED_KEY = "moshi:revoked"  # the rooms with revoked tokens, by when they may be forgotten
SLACK_S = 60  # beyond a token's life, for clocks
REMEMBERED_S = 86_400  # of rooms in use: LiveKit renews the tokens of their people for so long
FORGOTTEN_S = 2 * REMEMBERED_S  # since a token was signed: a room may be in use for years
FORGETS_EACH = 1000  # tokens of one room


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """Signs tokens, revokes them, and removes the participants of revoked ones."""

    redis: Redis
    rooms: LiveKitRooms
    specs: SpecStore
    settings: Settings

    async def mint(
        self, person: Participant, spec: RoomSpec, guest: GuestPass | None = None
    ) -> tuple[str, str]:
        """Sign a token for a spec's room and return it with its id, which begins with the link's.

        Raises `Refused` if the session has ended, the link was revoked, or a guest asks for the
        identity of another participant. The first two are checked after the token was recorded: an
        end or a revocation that comes later finds the record and revokes the token.
        """
        token_id = _new_id(time.time())
        if guest is not None:
            token_id = f"{guest.id}-{token_id}"
            if person.identity == spec.opener or await self._is_foreign(person, guest):
                sentence = "This identity belongs to another participant."
                raise Refused(HTTPStatus.FORBIDDEN, "identity_taken", sentence)
        key = TOKENS_KEY.format(room=person.room)
        left_s = await self.redis.ttl(key)
        async with self.redis.pipeline() as pipe:
            pipe.hset(key, token_id, person.identity)
            pipe.expire(key, max(left_s, self.settings.token_ttl_s + SLACK_S))
            pipe.hlen(key)
            *_, count = await pipe.execute()
        if count % FORGETS_EACH == 0:
            await self._forget_old(key)
        refusal = None
        if await self.specs.is_over(spec):
            refusal = over()
        elif guest is not None and await self.is_link_revoked(guest):
            refusal = bad_bearer()
        if refusal is not None:
            await self._note(person.room, [token_id])
            raise refusal
        return participant_token(person, token_id, self.settings, spec.max_people), token_id

    async def _forget_old(self, key: str) -> None:
        """Forget tokens that nobody can join with any more. What is revoked stays so."""
        before_s = time.time() - FORGOTTEN_S
        tokens: Any = await self.redis.hkeys(key)
        old = [
            each for each in tokens if not each.startswith(REVOKED) and _signed_s(each) < before_s
        ]
        if old:
            await self.redis.hdel(key, *old)

    async def of(self, room: str, identity: str | None = None) -> list[str]:
        """Return the ids of a room's tokens, or of those for one identity."""
        tokens: Any = await self.redis.hgetall(TOKENS_KEY.format(room=room))
        return [
            token
            for token, holder in tokens.items()
            if not token.startswith(REVOKED) and identity in (None, holder)
        ]

    async def revoke(self, room: str, token_ids: Iterable[str]) -> int:
        """Revoke tokens, and remove the people who joined with them; return how many."""
        await self._note(room, token_ids)
        return await self.remove_revoked(room)

    async def revoke_link(self, room: str, link_id: str) -> tuple[list[str], int]:
        """Revoke a guest link; return the ids of its tokens and how many people were removed."""
        await self._note(room, [link_id])
        given = [each for each in await self.of(room) if each.startswith(f"{link_id}-")]
        return given, await self.revoke(room, given)

    async def is_link_revoked(self, guest: GuestPass) -> bool:
        return await self._is_noted(guest.room, guest.id)

    async def revoke_all(self, room: str) -> None:
        """Revoke all tokens of a room and remove its people."""
        if given := await self.of(room):
            await self._note(room, given)
            await self.redis.hdel(TOKENS_KEY.format(room=room), *given)
        await self._note(room, await self._shown(room))
        await self.remove_revoked(room)

    async def remove_person(self, room: str, identity: str) -> int:
        """Revoke the tokens of an identity and remove its participant; return how many went."""
        await self._note(room, await self.of(room, identity))
        await self._note(room, await self._shown(room, identity))
        removed = await self.remove_revoked(room)
        for one in await self._people(room, identity):  # by a token that is not ours
            await self.rooms.remove_person(one, room)
            removed += 1
        return removed

    async def _note(self, room: str, token_ids: Iterable[str]) -> None:
        if not (ids := list(token_ids)):
            return
        key = TOKENS_KEY.format(room=room)
        noted: dict[Any, Any] = dict.fromkeys(map(REVOKED.__add__, ids), "")
        now_s = time.time()
        async with self.redis.pipeline() as pipe:
            pipe.hset(key, mapping=noted)
            pipe.expire(key, REMEMBERED_S)
            pipe.zadd(REVOKED_KEY, {room: now_s + REMEMBERED_S})
            pipe.zremrangebyscore(REVOKED_KEY, 0, now_s)
            await pipe.execute()

    async def _people(self, room: str, identity: str | None = None) -> list[api.ParticipantInfo]:
        """Return a room's people, or the one with an identity. Raises `LiveKitAway`."""
        inside = await self.rooms.participants(room)
        return [one for one in inside if is_present(one) and identity in (None, one.identity)]

    async def _shown(self, room: str, identity: str | None = None) -> list[str]:
        """Return the ids of the tokens that people joined with: redis may have lost them."""
        people = await self._people(room, identity)
        shown = (one.attributes.get(wire.ATTR_TOKEN_ID) for one in people)
        return [token_id for token_id in shown if token_id]

    async def keep(self, rooms: Iterable[str]) -> None:
        """Keep the tokens of rooms that exist at LiveKit for as long as LiveKit renews them."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for room in rooms:
                pipe.expire(TOKENS_KEY.format(room=room), REMEMBERED_S)
            await pipe.execute()

    async def with_revoked(self, rooms: Iterable[str]) -> set[str]:
        """Return those of these rooms that have revoked tokens."""
        revoked: Any = await self.redis.zrange(REVOKED_KEY, 0, -1)
        return set(revoked).intersection(rooms)

    async def remove_revoked(self, room: str) -> int:
        """Remove the people who joined with revoked tokens; return how many."""
        people = await self._people(room)
        shown = [REVOKED + one.attributes.get(wire.ATTR_TOKEN_ID, "") for one in people]
        marks: Any = await self.redis.hmget(TOKENS_KEY.format(room=room), shown) if shown else []
        unwanted = [one for one, mark in zip(people, marks, strict=True) if mark is not None]
        for one in unwanted:
            await self.rooms.remove_person(one, room)
            log.info("revoked_token_removed", room=room)
        return len(unwanted)

    async def is_revoked(self, room: str, participant: api.ParticipantInfo) -> bool:
        return await self._is_noted(room, participant.attributes.get(wire.ATTR_TOKEN_ID, ""))

    async def _is_noted(self, room: str, revoked_id: str) -> bool:
        return bool(await self.redis.hexists(TOKENS_KEY.format(room=room), REVOKED + revoked_id))

    async def _is_foreign(self, person: Participant, guest: GuestPass) -> bool:
        """Tell whether another participant has, or may soon have, a guest's identity.

        By the tokens that were given out, and by who is there: a telephone, a recorder and others
        come without a token of ours, and LiveKit would remove them.
        """
        tokens = await self.of(person.room, person.identity)
        if not tokens and await self.rooms.names([person.room]):  # LiveKit hangs for a missing room
            inside = await self.rooms.participants(person.room)
            there = [one.attributes for one in inside if one.identity == person.identity]
            tokens = [each.get(wire.ATTR_TOKEN_ID, "") for each in there]
        return not all(token_id.startswith(f"{guest.id}-") for token_id in tokens)


def _new_id(now_s: float) -> str:
    """Return a new token's own id, which begins with the second of now."""
    return f"{int(now_s):08x}{fresh_id()}"


def _signed_s(token_id: str) -> float:
    """Return when a token was signed; infinite where its id does not tell."""
    own = token_id.rpartition("-")[2]
    return int(own[:8], 16) if len(own) == len(_new_id(0.0)) else math.inf
