"""The participants of rooms, as LiveKit knows them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import ListParticipantsRequest, ListRoomsRequest

from harness.stack import Stack


async def people(stack: Stack, agent: str) -> list[ParticipantInfo]:
    """The people in the room in which this agent is; none where it is in no room."""
    async with stack.livekit.client() as lkapi:
        for room in (await lkapi.room.list_rooms(ListRoomsRequest())).rooms:
            found = await lkapi.room.list_participants(ListParticipantsRequest(room=room.name))
            if agent in {each.identity for each in found.participants}:
                return [p for p in found.participants if p.kind == ParticipantInfo.STANDARD]
    return []


def service_of(stack: Stack) -> httpx.AsyncClient:
    """The token service, as an application asks it."""
    return httpx.AsyncClient(base_url=stack.url, trust_env=False)


async def latest_session(stack: Stack) -> dict[str, Any]:
    """Return the service's view of the latest session."""
    async with service_of(stack) as http:
        [latest, *_] = (await http.get("/sessions")).json()
    return latest


async def has_ended(stack: Stack) -> bool:
    """Whether the latest session is over, and with it what it held."""
    return (await latest_session(stack))["state"] == "ended"


async def becomes(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition, for less long than LiveKit's own timeout for the silent."""
    async with asyncio.timeout(10):
        while not await holds():  # noqa: ASYNC110 - the server is asked, it sends no event here
            await asyncio.sleep(0.1)


async def nobody_with(stack: Stack, agent: str) -> None:
    """Wait until no person is left with an agent."""

    async def gone() -> bool:
        return not await people(stack, agent)

    await becomes(gone)
