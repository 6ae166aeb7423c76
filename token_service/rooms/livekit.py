"""The rooms as LiveKit knows them: who is in one, its dispatches, its old agents.

LiveKit is the truth; nothing is kept here.
Every call raises `LiveKitAway` where LiveKit does not answer.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

import aiohttp
import structlog
from livekit import api

from protocol import wire
from protocol.errors import InvalidInput
from protocol.presence import is_persons_kind
from protocol.room_spec import RoomSpec
from protocol.seal import Seal
from token_service.errors import LiveKitAway

log = structlog.stdlib.get_logger(__name__)

# Kept by ourselves: livekit-api 1.2.1 hands on `timeout=None`, with aiohttp 3.11 no limit at all.
ANSWER_S = 3.0
LIVES_S = (
    1.0  # a room's node answers at once; asked about a room that is nowhere, LiveKit waits 3 s
)
PROBE_ROOM = "moshi-rooms-readiness"  # asked for by /ready; never created
Kind = api.ParticipantInfo.Kind
PEOPLE = frozenset(number for name, number in Kind.items() if is_persons_kind(name))
PRESENT = frozenset({api.ParticipantInfo.State.JOINED, api.ParticipantInfo.State.ACTIVE})


@asynccontextmanager
async def _asking() -> AsyncGenerator[None]:
    """Wait for so long; translate the client's errors into one; what is gone is no error."""
    try:
        async with asyncio.timeout(ANSWER_S):
            yield
    except api.ServerError as error:
        if error.code == api.ServerErrorCode.NOT_FOUND:
            return
        raise LiveKitAway(f"LiveKit answered with the error {error.code!r}.") from error
    except (TimeoutError, aiohttp.ClientError) as error:
        raise LiveKitAway from error


class LiveKitRooms:
    """Asks LiveKit about rooms and changes who of us is in them."""

    def __init__(self, livekit: api.LiveKitAPI, seal: Seal) -> None:
        self._livekit = livekit
        self._seal = seal

    async def ping(self) -> None:
        """Ask for a room that is not there: LiveKit answers and our key is good, or it raises."""
        async with _asking():
            await self._livekit.room.list_rooms(api.ListRoomsRequest(names=[PROBE_ROOM]))

    async def names(self, of: Iterable[str] = ()) -> list[str]:
        """Every room that exists, or those of some."""
        async with _asking():
            found = await self._livekit.room.list_rooms(api.ListRoomsRequest(names=of))
            return [room.name for room in found.rooms]
        return []

    async def people(self, room: str) -> int:
        """How many people, not agents, are in a room."""
        return sum(is_present(one) for one in await self.participants(room))

    async def is_used(self, room: str) -> bool:
        """Whether a participant is in a room who is no agent of ours: a person, a bot, a bridge."""
        if not await self.names([room]):  # asked about a room that is not, some LiveKits wait 3 s
            return False
        inside = await self.participants(room)
        return any(one.state in PRESENT and generation_of(one) == float("inf") for one in inside)

    async def clear(self, spec: RoomSpec) -> None:
        """Remove what older generations left: their dispatches, then their participants."""
        async with _asking():
            for dispatch in await self._livekit.agent_dispatch.list_dispatch(spec.room):
                carried = self._carried(dispatch)
                if carried is not None and carried.generation < spec.generation:
                    await self._delete_dispatch(dispatch.id, spec.room)
        for participant in await self.participants(spec.room):
            if generation_of(participant) < spec.generation:
                log.info("old_agent_removed", room=spec.room, agent=participant.identity)
                await self.remove(participant.identity, spec.room)

    async def asked_for(self, room: str) -> list[str]:
        """The metadata of every dispatch in a room that asks for us by `AGENT_NAME`."""
        async with _asking():
            found = await self._livekit.agent_dispatch.list_dispatch(room)
            return [one.metadata for one in found if one.agent_name == wire.AGENT_NAME]
        return []

    async def dispatch(self, spec: RoomSpec) -> None:
        """Ask LiveKit for the promise's worker as host: one job that carries the sealed promise."""
        request = api.CreateAgentDispatchRequest(
            agent_name=wire.agent_name(spec.worker),
            room=spec.room,
            metadata=self._seal.close(spec),
        )
        async with _asking():
            await self._livekit.agent_dispatch.create_dispatch(request)

    async def close(self, room: str) -> None:
        """End a room for everybody who is still in it."""
        async with _asking():
            await self._livekit.room.delete_room(api.DeleteRoomRequest(room=room))

    async def lives(self, room: str) -> bool:
        """Whether a room that LiveKit does not list is there all the same: its node answers."""
        try:
            async with asyncio.timeout(LIVES_S):
                return bool(await self._livekit.agent_dispatch.list_dispatch(room))
        except (TimeoutError, aiohttp.ClientError, api.ServerError):
            return False

    async def close_forgotten(self, room: str) -> bool:
        """End a room that LiveKit does not list, for everybody in it; gives whether it is ended.

        Created again, a room that is there gets its node back, which is asked to close it. LiveKit
        does so as soon as it lists the room: when an agent has left it.
        """
        async with _asking():
            await self._livekit.room.create_room(api.CreateRoomRequest(name=room))
            await self._livekit.room.delete_room(api.DeleteRoomRequest(room=room))
            return True
        return False

    async def participants(self, room: str) -> list[api.ParticipantInfo]:
        """Everybody whom LiveKit counts to a room."""
        async with _asking():
            request = api.ListParticipantsRequest(room=room)
            return list((await self._livekit.room.list_participants(request)).participants)
        return []

    def _carried(self, dispatch: api.AgentDispatch) -> RoomSpec | None:
        """Read what a dispatch of ours carries; none of one that somebody else made."""
        if not dispatch.agent_name.startswith(wire.agent_name("")):
            return None
        try:
            return self._seal.open(dispatch.metadata, dispatch.room)
        except InvalidInput as error:
            log.warning("dispatch_not_ours", room=dispatch.room, reason=str(error))
            return None

    async def _delete_dispatch(self, dispatch_id: str, room: str) -> None:
        async with _asking():
            await self._livekit.agent_dispatch.delete_dispatch(dispatch_id, room)

    async def remove(self, identity: str, room: str) -> None:
        """Remove somebody from a room."""
        async with _asking():
            who = api.RoomParticipantIdentity(room=room, identity=identity)
            await self._livekit.room.remove_participant(who)


def is_present(participant: api.ParticipantInfo) -> bool:
    """Tell whether this is one of the room's people (`protocol.presence`), and has joined."""
    return participant.kind in PEOPLE and participant.state in PRESENT


def generation_of(participant: api.ParticipantInfo) -> float:
    """The generation of our agent; infinite for everybody else, who is none of our business."""
    text = participant.attributes.get(wire.ATTR_GENERATION, "")
    is_ours = participant.kind == Kind.AGENT and text.isdecimal()
    return int(text) if is_ours else float("inf")
