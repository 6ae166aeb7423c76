"""Sessions: opened once, changed by changing their promise, looked at, ended.

A session is a promise with an owner, an id and an opener; nothing else is kept of it. Everything
that changes one happens under its room's lock. Calls raise `RedisError`, `Unavailable`, `Refused`.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from protocol.events import ChangedEvent, EndedEvent
from protocol.room_spec import RoomSpec
from token_service.auth.callers import Caller
from token_service.errors import LiveKitAway, Refused, Unavailable
from token_service.fleet.reader import Fleet, FleetReader
from token_service.fleet.reservations import Reservations
from token_service.rooms.admission import LOCK_WAIT_S, RoomAdmission
from token_service.rooms.events import EventStore
from token_service.rooms.forgotten import Forgotten
from token_service.rooms.issued_tokens import IssuedTokens
from token_service.rooms.livekit import LiveKitRooms
from token_service.rooms.reconciler import Reconciler
from token_service.rooms.session_view import (
    SessionSummary,
    SessionSurroundings,
    SessionView,
    person_views,
    persona_view,
    state_of,
    turn_figures,
)
from token_service.rooms.store import LockLost, SpecStore

LISTED = 100

Change = Callable[[RoomSpec], RoomSpec]


class SessionOver(Refused):
    """The session has ended."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.CONFLICT, "session_ended", "This session has ended.")


@dataclass(frozen=True, slots=True)
class Sessions:
    """Opens, finds, changes, tells and ends."""

    admission: RoomAdmission
    specs: SpecStore
    workers: FleetReader
    rooms: LiveKitRooms
    places: Reservations
    events: EventStore
    passes: IssuedTokens
    dispatcher: Reconciler
    forgotten: Forgotten

    async def find(self, session: str, caller: Caller) -> RoomSpec:
        """The caller's session. One of somebody else's is as good as none."""
        spec = await self.specs.of_session(session)
        if spec is None or spec.owner != caller.id or caller.guest:
            raise Refused(HTTPStatus.NOT_FOUND, "session_unknown", "There is no such session.")
        return spec

    async def find_running(self, session: str, caller: Caller) -> RoomSpec:
        """The caller's session, which has not ended."""
        spec = await self.find(session, caller)
        if spec.ended:
            raise SessionOver
        return spec

    async def change(self, session: str, caller: Caller, change: Change) -> RoomSpec:
        """Change the promise of a session that has not ended, and give it."""
        room = (await self.find(session, caller)).room
        async with self.specs.alone(room, LOCK_WAIT_S) as lock:
            if lock is None:
                raise Unavailable("busy", "The session is being changed. Try again.", 1)
            spec = await self.find_running(session, caller)
            changed = change(spec)
            growth = _bytes(changed) - _bytes(spec)
            await self.admission.limiter.written(caller, max(growth, 0))
            await self._hold_places(caller, spec, changed)
            await self.specs.write(changed, lock)
        return changed

    async def _hold_places(self, caller: Caller, spec: RoomSpec, changed: RoomSpec) -> None:
        """Newcomers need slots where the others are. Raises `Unavailable`."""
        if len(changed.personas) <= len(spec.personas):
            return
        fleet = await self.workers.fleet()
        await self.admission.hold_more(caller, spec, changed, fleet)

    async def tell_change(self, spec: RoomSpec, change: str, persona_id: str) -> None:
        """Add the change to the session's events."""
        event = ChangedEvent.model_validate(
            {"at_s": time.time(), "change": change, "persona_id": persona_id}
        )
        await self.events.add(spec.room, event)

    async def end(self, session: str, caller: Caller, reason: str) -> RoomSpec:
        """End a session, once: people go, tokens are good for nothing, the host leaves."""
        if (spec := await self.find(session, caller)).ended:
            return spec
        now_s = time.time()
        try:
            ended = await self.change(
                session, caller, lambda p: p.model_copy(update={"ended": True, "ended_s": now_s})
            )
        except SessionOver:  # somebody else ended it meanwhile
            return spec
        await self.specs.end(ended)  # before its tokens are revoked: see `IssuedTokens.mint`
        await self.places.release(ended.room)
        await self.events.add(ended.room, EndedEvent(at_s=now_s, reason=reason))
        try:
            await self.passes.revoke_all(ended.room)
            await self.dispatcher.see_to(ended.room, LOCK_WAIT_S)
        except (LiveKitAway, LockLost):
            return ended  # the poll removes them soon
        return ended

    async def view(self, spec: RoomSpec) -> SessionView:
        """Everything about a session."""
        fleet, inside, turns, forgotten = await asyncio.gather(
            self.workers.fleet(),
            self.rooms.participants(spec.room),
            self.events.turns(spec.room),
            self.forgotten.has(spec.room),
        )
        people = person_views(inside)
        state, waiting = state_of(spec, await self._around(spec, fleet, bool(people)))
        return SessionView(
            id=spec.session,
            room=spec.room,
            state=state,
            waiting=waiting,
            opened_at_s=spec.opened_s,
            age_s=_age_s(spec),
            generation=spec.generation,
            personas=[persona_view(each, inside) for each in spec.personas],
            people=people,
            people_known=not forgotten,
            turns=turn_figures(turns),
        )

    async def _owned(self, caller: Caller, room: str | None) -> list[RoomSpec]:
        if room is not None:
            spec = await self.specs.read(room)
            return [spec] if spec is not None and spec.owner == caller.id else []
        if caller.is_stranger:
            raise Refused(
                HTTPStatus.FORBIDDEN,
                "not_listed",
                "AUTH_MODE=open gives strangers no list of sessions; expected ?room=….",
            )
        return await self.specs.owned(caller.id, LISTED)

    async def list(self, caller: Caller, room: str | None) -> list[SessionSummary]:
        """The caller's latest sessions, or that of a room.

        Rooms that a token alone promised count once used.
        """
        owned = await self._owned(caller, room)
        fleet = await self.workers.fleet()
        occupied = set(await self.rooms.names([each.room for each in owned])) if owned else set()
        shown = [each for each in owned if each.opener or each.generation or each.room in occupied]
        return [await self._summary(each, fleet, each.room in occupied) for each in shown]

    async def _summary(self, spec: RoomSpec, fleet: Fleet, occupied: bool) -> SessionSummary:
        state, waiting = state_of(spec, await self._around(spec, fleet, occupied))
        return SessionSummary(
            id=spec.session,
            room=spec.room,
            state=state,
            waiting=waiting,
            opened_at_s=spec.opened_s,
            age_s=_age_s(spec),
            personas=[each.name for each in spec.personas],
        )

    async def _around(self, spec: RoomSpec, fleet: Fleet, occupied: bool) -> SessionSurroundings:
        return SessionSurroundings(
            fleet=fleet,
            awaited=await self.dispatcher.awaited(spec, fleet),
            occupied=occupied,
            position=await self.places.position(spec.room, spec.opened_s),
        )


def _bytes(spec: RoomSpec) -> int:
    return len(spec.model_dump_json().encode())


def _age_s(spec: RoomSpec) -> float:
    return round((spec.ended_s or time.time()) - spec.opened_s, 3)
