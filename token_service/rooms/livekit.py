"""Rooms at LiveKit: their participants and dispatches. Keeps nothing itself.

Every call raises `LiveKitAway` where LiveKit does not answer.
"""

import asyncio
import time
from collections.abc import Awaitable, Iterable
from typing import TypeVar

import aiohttp
import structlog
from livekit import api

from protocol import wire
from protocol.errors import InvalidInput
from protocol.presence import host_generation, is_persons_kind
from protocol.room_spec import RoomSpec
from protocol.seal import Seal
from token_service.refusals import LiveKitAway

log = structlog.stdlib.get_logger(__name__)

# Kept by ourselves: livekit-api 1.2.1 hands on `timeout=None`, which is no limit for aiohttp 3.14.
ANSWER_S = 3.0
LIVES_S = 1.0  # a room's node answers at once; of a room that is nowhere LiveKit says so after 3 s
LEAVES_WITHIN_S = 3.0  # a participant of a worker's that is no longer wanted; usually 0.3
PROBE_ROOM = "moshi-rooms-readiness"  # asked for by /ready; never created
Kind = api.ParticipantInfo.Kind
PEOPLE = frozenset(number for name, number in Kind.items() if is_persons_kind(name))
PRESENT = frozenset({api.ParticipantInfo.State.JOINED, api.ParticipantInfo.State.ACTIVE})


T = TypeVar("T")


async def _answer(asked: Awaitable[T]) -> T | None:
    """Return LiveKit's answer, None for a missing object. Raises `LiveKitAway`."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await asked
    except api.ServerError as error:
        if error.code == api.ServerErrorCode.NOT_FOUND:
            return None
        sentence = f"LiveKit answered with the error {error.code!r}."
        raise LiveKitAway(sentence, said=error.message) from error
    except (TimeoutError, aiohttp.ClientError) as error:
        raise LiveKitAway from error


class LiveKitRooms:
    """Asks LiveKit about rooms, dispatches hosts to them, and removes participants."""

    def __init__(self, livekit: api.LiveKitAPI, seal: Seal) -> None:
        self._livekit = livekit
        self._seal = seal

    async def ping(self) -> None:
        """Raise `LiveKitAway` unless LiveKit answers and accepts our key."""
        await self.names([PROBE_ROOM])

    async def names(self, of: Iterable[str] = ()) -> list[str]:
        """Return the names of all rooms that exist, or of those that are asked for."""
        found = await _answer(self._livekit.room.list_rooms(api.ListRoomsRequest(names=of)))
        return [room.name for room in found.rooms] if found is not None else []

    async def people(self, room: str) -> set[str]:
        return {one.identity for one in await self.participants(room) if is_present(one)}

    async def is_used(self, room: str) -> bool:
        """Return whether a participant that is no agent of ours is in a room."""
        if not await self.names([room]):  # asked about a missing room, some LiveKits wait 3 s
            return False
        inside = await self.participants(room)
        return any(one.state in PRESENT and generation_of(one) == float("inf") for one in inside)

    async def clear(self, spec: RoomSpec) -> None:
        """Remove the dispatches and then the participants of older generations."""
        dispatches = self._livekit.agent_dispatch
        for dispatch in await self._dispatches(spec.room):
            carried = self._carried(dispatch)
            if carried is not None and carried.newest < spec.generation:
                await _answer(dispatches.delete_dispatch(dispatch.id, spec.room))
        for participant in await self.participants(spec.room):
            await self.remove_old(participant, spec)

    async def remove_old(self, participant: api.ParticipantInfo, spec: RoomSpec) -> None:
        """Remove a participant from the spec's room if it is a persona of an older generation."""
        if generation_of(participant) < spec.generation:
            log.info("old_agent_removed", room=spec.room, agent=participant.identity)
            await self.remove(participant.identity, spec.room)

    async def asked_for(self, room: str) -> list[str]:
        """Return the metadata of each dispatch in a room that asks for `AGENT_NAME`."""
        found = await self._dispatches(room)
        return [one.metadata for one in found if one.agent_name == wire.AGENT_NAME]

    async def dispatch(self, spec: RoomSpec) -> None:
        """Dispatch a job with the sealed spec to its worker, or to the one that is to stand by."""
        request = api.CreateAgentDispatchRequest(
            agent_name=wire.agent_name(spec.standby or spec.worker),
            room=spec.room,
            metadata=self._seal.close(spec),
        )
        await _answer(self._livekit.agent_dispatch.create_dispatch(request))

    async def close(self, room: str) -> bool:
        """Close a room with all participants in it; False: LiveKit knows none."""
        request = api.DeleteRoomRequest(room=room)
        return await _answer(self._livekit.room.delete_room(request)) is not None

    async def lives(self, room: str) -> bool:
        """Return whether a room that LiveKit does not list exists: its node answers."""
        try:
            async with asyncio.timeout(LIVES_S):
                return bool(await self._livekit.agent_dispatch.list_dispatch(room))
        except (TimeoutError, aiohttp.ClientError, api.ServerError):
            return False

    async def close_forgotten(self, room: str) -> bool:
        """Close a room that LiveKit does not list; return whether it was closed.

        Created again, an existing room gets its node back, which is then asked to close it.
        LiveKit does so as soon as it lists the room: when an agent has left it.
        """
        created = await _answer(self._livekit.room.create_room(api.CreateRoomRequest(name=room)))
        return created is not None and await self.close(room)

    async def participants(self, room: str) -> list[api.ParticipantInfo]:
        request = api.ListParticipantsRequest(room=room)
        found = await _answer(self._livekit.room.list_participants(request))
        return list(found.participants) if found is not None else []

    async def _dispatches(self, room: str) -> list[api.AgentDispatch]:
        return await _answer(self._livekit.agent_dispatch.list_dispatch(room)) or []

    def _carried(self, dispatch: api.AgentDispatch) -> RoomSpec | None:
        """Return the spec that a dispatch of ours carries; None for another's dispatch."""
        if not dispatch.agent_name.startswith(wire.agent_name("")):
            return None
        try:
            return self._seal.open(dispatch.metadata, dispatch.room)
        except InvalidInput as error:
            log.warning("dispatch_not_ours", room=dispatch.room, reason=str(error))
            return None

    async def remove_person(self, person: api.ParticipantInfo, room: str) -> bool:
        """Remove a person; False: a worker joined for it, and has a moment to leave.

        Of a participant that LiveKit removes, its process keeps a thread for ever (rust-sdks#1443).
        So a worker's is told first, by its attribute, until when it is to leave by itself.
        """
        until = person.attributes.get(wire.ATTR_WEBSOCKET)
        if until is None or person.permission.can_update_metadata:  # anybody may have written it
            await self.remove(person.identity, room)
            return True
        if until == wire.STAYS:
            leaves = {wire.ATTR_WEBSOCKET: str(time.time() + LEAVES_WITHIN_S)}
            request = api.UpdateParticipantRequest(
                room=room, identity=person.identity, attributes=leaves
            )
            await _answer(self._livekit.room.update_participant(request))
            return False
        if 0.0 < _seconds(until) - time.time() <= LEAVES_WITHIN_S:
            return False
        await self.remove(person.identity, room)
        return True

    async def remove(self, identity: str, room: str) -> None:
        who = api.RoomParticipantIdentity(room=room, identity=identity)
        await _answer(self._livekit.room.remove_participant(who))


def is_present(participant: api.ParticipantInfo) -> bool:
    """Return whether a participant is a person (`protocol.presence`) and has joined.

    A hidden one is none: it stays behind the people, and no host can see it.
    """
    is_shown = not participant.permission.hidden
    return is_shown and participant.kind in PEOPLE and participant.state in PRESENT


def _seconds(text: str) -> float:
    """Return the number that a text is; 0 for any other text."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def generation_of(participant: api.ParticipantInfo) -> float:
    """Return the generation of our agent; infinite for any other participant."""
    generation = host_generation(participant.attributes)
    if participant.kind != Kind.AGENT or generation is None:
        return float("inf")
    return generation
