"""Sessions: opened once, changed by changing their promise, looked at, ended.

A session is a promise with an owner, an id and an opener; nothing else is kept of it. Everything
that changes one happens under its room's lock. Calls raise `RedisError`, `Unavailable`, `Refused`.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from redis.asyncio import Redis

from protocol.events import ChangedEvent, EndedEvent
from protocol.room_spec import Promise
from token_service.auth.callers import Caller
from token_service.errors import LiveKitAway, Refused, Unavailable
from token_service.fleet.forgotten import Forgotten
from token_service.fleet.reader import Fleet, Workers
from token_service.fleet.reservations import Places
from token_service.rooms.admission import LOCK_WAIT_S, Admission, Wish
from token_service.rooms.events import Events
from token_service.rooms.issued_tokens import Passes
from token_service.rooms.livekit import Rooms
from token_service.rooms.reconciler import Dispatcher
from token_service.rooms.session_view import (
    Circumstances,
    SessionSummary,
    SessionView,
    person_views,
    persona_view,
    state_of,
    turn_figures,
)
from token_service.rooms.store import LockLost, Promises

IDEMPOTENCY_KEY = "moshi:idempotency:{digest}"  # → fingerprint of the request, room, identity
IDEMPOTENCY_S = 86_400
STRANGERS_IDEMPOTENCY_S = 600
LISTED = 100

Change = Callable[[Promise], Promise]


class SessionOver(Refused):
    """The session has ended."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.CONFLICT, "session_ended", "This session is over.")


@dataclass(frozen=True, slots=True)
class Sessions:
    """Opens, finds, changes, tells and ends."""

    redis: Redis
    admission: Admission
    promises: Promises
    workers: Workers
    rooms: Rooms
    places: Places
    events: Events
    passes: Passes
    dispatcher: Dispatcher
    forgotten: Forgotten

    async def open(self, wish: Wish, key: str | None, fingerprint: str) -> Promise:
        """Open a session, or give the one that the same request opened before.

        With a key, the first request's room and identity hold for all of its repetitions.
        """
        if key is None:
            return await self.admission.admit(wish)
        digest = hashlib.sha256(f"{wish.caller.id}\n{key}".encode()).hexdigest()
        name = IDEMPOTENCY_KEY.format(digest=digest)
        value = f"{fingerprint}\n{wish.opener}\n{wish.room}"
        life_s = STRANGERS_IDEMPOTENCY_S if wish.caller.is_stranger else IDEMPOTENCY_S
        if await self.redis.set(name, value, nx=True, ex=life_s):
            try:
                return await self.admission.admit(wish)
            except BaseException:
                await self.redis.delete(name)  # nothing was opened: the key is free again
                raise
        kept: Any = await self.redis.get(name)
        if kept is None:
            raise Unavailable("busy", "The same request has just failed. Try again.", 1)
        before = _as_before(wish, kept, fingerprint)
        standing = await self.promises.read(before.room)
        if standing is not None and standing.ended:
            raise SessionOver
        return await self.admission.admit(before)

    async def find(self, session: str, caller: Caller) -> Promise:
        """The caller's session. One of somebody else's is as good as none."""
        promise = await self.promises.of_session(session)
        if promise is None or promise.owner != caller.id or caller.guest:
            raise Refused(HTTPStatus.NOT_FOUND, "session_unknown", "There is no such session.")
        return promise

    async def find_running(self, session: str, caller: Caller) -> Promise:
        """The caller's session, which has not ended."""
        promise = await self.find(session, caller)
        if promise.ended:
            raise SessionOver
        return promise

    async def change(self, session: str, caller: Caller, change: Change) -> Promise:
        """Change the promise of a session that has not ended, and give it."""
        room = (await self.find(session, caller)).room
        async with self.promises.alone(room, LOCK_WAIT_S) as lock:
            if lock is None:
                raise Unavailable("busy", "The session is being changed. Try again.", 1)
            promise = await self.find_running(session, caller)
            changed = change(promise)
            growth = _bytes(changed) - _bytes(promise)
            await self.admission.limiter.written(caller, max(growth, 0))
            await self._hold_places(caller, promise, changed)
            await self.promises.write(changed, lock)
        return changed

    async def _hold_places(self, caller: Caller, promise: Promise, changed: Promise) -> None:
        """Newcomers need slots where the others are. Raises `Unavailable`."""
        if len(changed.personas) <= len(promise.personas):
            return
        fleet = await self.workers.fleet()
        await self.admission.hold_more(caller, promise, changed, fleet)

    async def tell_change(self, promise: Promise, change: str, persona_id: str) -> None:
        """Add the change to the session's events."""
        event = ChangedEvent.model_validate(
            {"at_s": time.time(), "change": change, "persona_id": persona_id}
        )
        await self.events.add(promise.room, event)

    async def end(self, session: str, caller: Caller, reason: str) -> Promise:
        """End a session, once: people go, tokens are good for nothing, the host leaves."""
        if (promise := await self.find(session, caller)).ended:
            return promise
        now_s = time.time()
        try:
            ended = await self.change(
                session, caller, lambda p: p.model_copy(update={"ended": True, "ended_s": now_s})
            )
        except SessionOver:  # somebody else ended it meanwhile
            return promise
        await self.promises.end(ended)  # before its tokens are revoked: see `Passes.mint`
        await self.places.release(ended.room)
        await self.events.add(ended.room, EndedEvent(at_s=now_s, reason=reason))
        try:
            await self.passes.revoke_all(ended.room)
            await self.dispatcher.see_to(ended.room, LOCK_WAIT_S)
        except (LiveKitAway, LockLost):
            return ended  # the poll removes them soon
        return ended

    async def view(self, promise: Promise) -> SessionView:
        """Everything about a session."""
        fleet, inside, turns, forgotten = await asyncio.gather(
            self.workers.fleet(),
            self.rooms.participants(promise.room),
            self.events.turns(promise.room),
            self.forgotten.has(promise.room),
        )
        people = person_views(inside)
        state, waiting = state_of(promise, await self._around(promise, fleet, bool(people)))
        return SessionView(
            id=promise.session,
            room=promise.room,
            state=state,
            waiting=waiting,
            opened_at_s=promise.opened_s,
            age_s=_age_s(promise),
            generation=promise.generation,
            personas=[persona_view(each, inside) for each in promise.personas],
            people=people,
            people_known=not forgotten,
            turns=turn_figures(turns),
        )

    async def _owned(self, caller: Caller, room: str | None) -> list[Promise]:
        if room is not None:
            promise = await self.promises.read(room)
            return [promise] if promise is not None and promise.owner == caller.id else []
        if caller.is_stranger:
            raise Refused(
                HTTPStatus.FORBIDDEN,
                "not_listed",
                "AUTH_MODE=open: nobody is shown everybody's sessions; expected ?room=….",
            )
        return await self.promises.owned(caller.id, LISTED)

    async def list(self, caller: Caller, room: str | None) -> list[SessionSummary]:
        """The caller's latest sessions, or that of a room.

        Rooms that a token alone promised count once used.
        """
        owned = await self._owned(caller, room)
        fleet = await self.workers.fleet()
        occupied = set(await self.rooms.names([each.room for each in owned])) if owned else set()
        shown = [each for each in owned if each.opener or each.generation or each.room in occupied]
        return [await self._summary(each, fleet, each.room in occupied) for each in shown]

    async def _summary(self, promise: Promise, fleet: Fleet, occupied: bool) -> SessionSummary:
        state, waiting = state_of(promise, await self._around(promise, fleet, occupied))
        return SessionSummary(
            id=promise.session,
            room=promise.room,
            state=state,
            waiting=waiting,
            opened_at_s=promise.opened_s,
            age_s=_age_s(promise),
            personas=[each.name for each in promise.personas],
        )

    async def _around(self, promise: Promise, fleet: Fleet, occupied: bool) -> Circumstances:
        return Circumstances(
            fleet=fleet,
            awaited=await self.dispatcher.awaited(promise, fleet),
            occupied=occupied,
            position=await self.places.position(promise.room, promise.opened_s),
        )


def _bytes(promise: Promise) -> int:
    return len(promise.model_dump_json().encode())


def _age_s(promise: Promise) -> float:
    return round((promise.ended_s or time.time()) - promise.opened_s, 3)


def _as_before(wish: Wish, kept: str, fingerprint: str) -> Wish:
    """The wish as it was made the first time under its key."""
    first, opener, room = kept.split("\n", 2)
    if first != fingerprint:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "Idempotency-Key: expected the request that it was first used with.",
        )
    return Wish(room, wish.personas, wish.caller, opener, wish.wait)
