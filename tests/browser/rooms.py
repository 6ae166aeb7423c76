"""The participants of rooms, as LiveKit lists them, and sessions, as the token service does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import ListParticipantsRequest, ListRoomsRequest

from harness.stack import Stack


async def people(stack: Stack, agent: str) -> list[ParticipantInfo]:
    """Return the people in the room of this agent; none if the agent is in no room."""
    async with stack.livekit.client() as lkapi:
        for room in (await lkapi.room.list_rooms(ListRoomsRequest())).rooms:
            found = await lkapi.room.list_participants(ListParticipantsRequest(room=room.name))
            if agent in {each.identity for each in found.participants}:
                return [p for p in found.participants if p.kind == ParticipantInfo.STANDARD]
    return []


def service_of(stack: Stack) -> httpx.AsyncClient:
    """Return a client of the token service, as an application has one."""
    return httpx.AsyncClient(base_url=stack.url, trust_env=False)


async def latest_session(stack: Stack) -> dict[str, Any]:
    """Return the token service's view of the latest session."""
    async with service_of(stack) as http:
        [latest, *_] = (await http.get("/sessions")).json()
    return latest


async def has_ended(stack: Stack) -> bool:
    """Return whether the latest session has ended."""
    return (await latest_session(stack))["state"] == "ended"


async def becomes(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds, for less long than LiveKit's timeout for lost participants."""
    async with asyncio.timeout(10):
        while not await holds():  # noqa: ASYNC110 - the server is asked, it sends no event here
            await asyncio.sleep(0.1)


async def people_left(stack: Stack, agent: str) -> None:
    """Wait until no person is in the room of an agent."""

    async def gone() -> bool:
        return not await people(stack, agent)

    await becomes(gone)
