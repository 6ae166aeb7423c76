"""Sessions: opened once, changed by changing their spec, viewed, ended.

A session is a spec with an owner, an id and an opener; nothing else is kept of it. Changes are
commits of its room (`rooms/commits.py`). Calls raise `RedisError`, `Unavailable`, `Refused`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus

from protocol.events import AFTER_ENDED_S, ChangedEvent, EndedEvent, PersonaChange, RatedEvent
from protocol.room_spec import RoomSpec
from token_service.auth.callers import Caller, GuestPass
from token_service.fleet.fleet import Fleet
from token_service.fleet.reader import FleetReader
from token_service.refusals import LiveKitAway, Refused, bad_bearer, over
from token_service.rooms.admission import RoomAdmission
from token_service.rooms.events import EventStore, StoredEvent
from token_service.rooms.forgotten import Forgotten
from token_service.rooms.issued_tokens import IssuedTokens
from token_service.rooms.livekit import LiveKitRooms
from token_service.rooms.reconciler import Reconciler
from token_service.rooms.store import SpecStore
from token_service.sessions.session_view import (
    SessionSummary,
    SessionView,
    basics_of,
    person_views,
    persona_view,
    turn_figures,
)

LISTED = 100
HOUR_S = 3600.0
LOOKS_EVERY_S = 0.25  # whether the host of an ended session is gone

Change = Callable[[RoomSpec], RoomSpec]


class SessionOver(Refused):
    def __init__(self) -> None:
        super().__init__(HTTPStatus.CONFLICT, "session_ended", "This session has ended.")


@dataclass(frozen=True, slots=True)
class Sessions:
    admission: RoomAdmission
    specs: SpecStore
    workers: FleetReader
    rooms: LiveKitRooms
    events: EventStore
    tokens: IssuedTokens
    reconciler: Reconciler
    forgotten: Forgotten

    async def find(self, session: str, caller: Caller) -> RoomSpec:
        """Return the caller's session. Raises `Refused` for an unknown one and another caller's."""
        spec = await self.specs.of_session(session)
        if spec is None or spec.owner != caller.id or caller.guest:
            raise _unknown()
        return spec

    async def find_running(self, session: str, caller: Caller) -> RoomSpec:
        """Return the caller's session. Raises `SessionOver` where it has ended."""
        spec = await self.find(session, caller)
        if spec.ended:
            raise SessionOver
        return spec

    async def find_to_join(self, session: str, caller: Caller) -> RoomSpec:
        """Return a session that the caller may take part in: its own, or its link's."""
        if caller.guest is None:
            return await self.find_running(session, caller)
        spec = await self.of_guest(caller.guest)
        if spec.session != session:
            raise _unknown()
        return spec

    async def of_guest(self, guest: GuestPass) -> RoomSpec:
        """Return the session that a link or a participant's token leads to. Raises `Refused`."""
        if await self.tokens.is_link_revoked(guest):
            raise bad_bearer()
        spec = await self.specs.read(guest.room)
        if spec is None or _is_over(spec, guest):
            raise over()
        return spec

    async def has_withdrawn(self, guest: GuestPass) -> bool:
        """Tell whether a link or token was revoked, or the session that it led to was ended."""
        if await self.tokens.is_link_revoked(guest):
            return True
        spec = await self.specs.read(guest.room)
        return spec is not None and _is_over(spec, guest)

    async def change(self, session: str, caller: Caller, change: Change) -> RoomSpec:
        """Change the spec of a session that has not ended, and return it.

        Added personas need slots where the others are. Raises `Unavailable` where there are none.
        """
        spec = await self.find_running(session, caller)
        growth = _bytes(change(spec)) - _bytes(spec)
        await self.admission.limiter.written(caller, max(growth, 0))

        def decide(now: RoomSpec | None, fleet: Fleet) -> tuple[RoomSpec, RoomSpec]:
            if now is None or now.ended or now.session != session:
                raise SessionOver
            changed = change(now)
            if len(changed.personas) > len(now.personas):
                self.admission.reserve_more(caller, now, changed, fleet)
            if changed.ended:
                fleet.schedule.release(now.room)
            return changed, changed

        return await self.specs.commit(spec.room, decide)

    async def keep_for_guests(self, session: str, caller: Caller, until_s: float) -> RoomSpec:
        """Keep a session until a guest link ends, and return its spec; a stranger's is not kept.

        Its bytes count again for each further hour.
        """
        spec = await self.find_running(session, caller)
        more_s = until_s - max(spec.invited_until_s, time.time())
        if caller.is_stranger or more_s <= 0.0:
            return spec
        await self.admission.limiter.written(caller, int(_bytes(spec) * more_s / HOUR_S))

        def kept(now: RoomSpec) -> RoomSpec:
            longest_s = max(now.invited_until_s, until_s)
            return now.model_copy(update={"invited_until_s": longest_s})

        return await self.change(session, caller, kept)

    async def follow(self, spec: RoomSpec, after: str) -> AsyncGenerator[StoredEvent | None]:
        """Yield a session's events after an id as they come, and `ended` as the last one.

        `None` each second in which none came.
        """
        async for stored in self.events.follow(spec.room, after):
            if stored is None or not isinstance(stored.event, EndedEvent):
                yield stored
                continue
            last = stored
            for late in await self._late(spec, stored.id):
                yield late
                last = replace(stored, id=late.id)  # whoever comes back gets nothing again
            yield last
            return

    async def _late(self, spec: RoomSpec, ended: str) -> list[StoredEvent]:
        """Return what was stored after `ended`, once the host has left."""
        deadline_s = time.monotonic() + AFTER_ENDED_S
        while time.monotonic() < deadline_s:
            if spec.room not in (await self.workers.fleet()).rooms:
                break
            await asyncio.sleep(LOOKS_EVERY_S)
        late = await self.events.stored(spec.room, ended)
        is_same = await self.specs.of_session(spec.session) is not None  # else it is another's
        return late if is_same else []

    async def tell_change(self, spec: RoomSpec, change: PersonaChange, persona_id: str) -> None:
        event = ChangedEvent(at_s=time.time(), change=change, persona_id=persona_id)
        await self.events.add(spec.room, event)

    async def rate(self, session: str, caller: Caller, rating: int) -> RoomSpec:
        """Add a person's rating to the session's events, and return its spec.

        A guest rates its link's session, also one that has ended.
        """
        guest = caller.guest
        if guest is None or guest.session != session:
            spec = await self.find(session, caller)
        elif (ended := await self.specs.of_session(session)) is not None:
            spec = ended
        else:
            raise _unknown()
        await self.events.add(spec.room, RatedEvent(at_s=time.time(), rating=rating))
        return spec

    async def end(self, session: str, caller: Caller, reason: str) -> RoomSpec:
        """End a session: remove its people, revoke its tokens, and have its host leave.

        What an earlier request left undone, because redis broke it off, is done now.
        """
        spec, now_s = await self.find(session, caller), time.time()
        if spec.ended:
            events = await self.events.so_far(spec.room)
            is_told = any(isinstance(each, EndedEvent) for each in events)
        else:
            ended = {"ended": True, "ended_s": now_s}
            try:
                spec = await self.change(session, caller, lambda p: p.model_copy(update=ended))
            except SessionOver:  # another request ended it meanwhile
                return spec
            is_told = False
        if not is_told:
            await self.events.add(spec.room, EndedEvent(at_s=now_s, reason=reason))
        with suppress(LiveKitAway):  # the poll removes them soon
            await self.tokens.revoke_all(spec.room)
            await self.reconciler.reconcile(spec.room)
        return spec

    async def view(self, spec: RoomSpec) -> SessionView:
        fleet, inside, turns, forgotten = await asyncio.gather(
            self.workers.fleet(),
            self.rooms.participants(spec.room),
            self.events.turns(spec.room),
            self.forgotten.has(spec.room),
        )
        people = person_views(inside)
        return SessionView(
            **basics_of(spec, fleet, is_occupied=bool(people)),
            generation=spec.generation,
            personas=[persona_view(each, inside) for each in spec.personas],
            people=people,
            people_known=not forgotten,
            recorded=spec.record,
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
        """Return the caller's latest sessions, or that of a room.

        Rooms that were opened by a token alone count once they are used.
        """
        owned = await self._owned(caller, room)
        fleet = await self.workers.fleet()
        used = set(await self.rooms.names([each.room for each in owned])) if owned else set()
        shown = [each for each in owned if each.opener or each.generation or each.room in used]
        occupied = await self._occupied([each for each in shown if each.room in used], fleet)
        return [
            SessionSummary(
                **basics_of(each, fleet, is_occupied=each.room in occupied),
                personas=[persona.name for persona in each.personas],
            )
            for each in shown
        ]

    async def _occupied(self, specs: Sequence[RoomSpec], fleet: Fleet) -> set[str]:
        """Return the rooms with people, of those whose state depends on that."""
        unhosted = [
            each.room
            for each in specs
            if not (each.ended or fleet.hosts(each) or fleet.is_awaited(each))
        ]
        people = await asyncio.gather(*map(self.rooms.people, unhosted))
        return {room for room, there in zip(unhosted, people, strict=True) if there}


def _unknown() -> Refused:
    return Refused(HTTPStatus.NOT_FOUND, "session_unknown", "There is no such session.")


def _is_over(spec: RoomSpec, guest: GuestPass) -> bool:
    """Tell whether a guest's session was ended, or its room is another session's now."""
    return spec.ended or guest.session not in ("", spec.session)


def _bytes(spec: RoomSpec) -> int:
    return len(spec.model_dump_json().encode())
