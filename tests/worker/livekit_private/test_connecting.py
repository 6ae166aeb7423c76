"""Connections to rooms that come late or never; a stand-in replaces LiveKit's room."""

import asyncio
from typing import Any

import pytest
from livekit import rtc

from worker.livekit_private import connecting

WITHIN_S = 5.0


class Room:
    """A room that connects once it may."""

    def __init__(self) -> None:
        self.may_connect = asyncio.Event()
        self.error: Exception | None = None
        self.told: list[str] = []

    async def connect(self, url: str, token: str, options: rtc.RoomOptions) -> None:
        """Connect, or fail."""
        assert (url, token, options) == ("ws://here", "token", connecting.CONNECTION)
        try:
            await self.may_connect.wait()
        except asyncio.CancelledError:
            self.told.append("cancelled")
            raise
        if self.error is not None:
            raise self.error
        self.told.append("connected")

    async def disconnect(self) -> None:
        """Disconnect."""
        self.told.append("disconnected")


@pytest.fixture
def room() -> Any:
    """Return a room that does not connect yet."""
    return Room()


async def connect(room: Any) -> None:
    """Connect to the room."""
    await connecting.connect(room, "ws://here", "token")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no connection."""
    monkeypatch.setattr(connecting, "CONNECT_WITHIN_S", 0.01)


async def test_a_connection_in_time_is_as_livekits(room: Any) -> None:
    """It is there when the call returns, or its error is raised."""
    room.may_connect.set()
    await connect(room)
    assert room.told == ["connected"]
    room.error = rtc.ConnectError("refused")
    with pytest.raises(rtc.ConnectError, match="refused"):
        await connect(room)


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_comes_late_is_closed(room: Any) -> None:
    """Who waited is told after a while; the loop may end once the connection is closed."""
    with pytest.raises(rtc.ConnectError, match=r"within 0\.01 s"):
        await connect(room)
    closed = asyncio.create_task(connecting.late_closed())
    await asyncio.sleep(0)
    assert not closed.done()
    room.may_connect.set()
    await asyncio.wait_for(closed, WITHIN_S)

    assert room.told == ["connected", "disconnected"]


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_fails_late_needs_no_end(room: Any) -> None:
    """A late error is told to nobody: its host was told before."""
    with pytest.raises(rtc.ConnectError):
        await connect(room)
    room.error = rtc.ConnectError("refused")
    room.may_connect.set()
    await asyncio.wait_for(connecting.late_closed(), WITHIN_S)

    assert room.told == []


@pytest.mark.usefixtures("impatient")
async def test_a_process_whose_library_never_answers_ends(
    room: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hosts no room any more, and another process replaces it."""
    statuses: list[int] = []
    monkeypatch.setattr(connecting.os, "_exit", statuses.append)
    monkeypatch.setattr(connecting, "LIBRARY_WITHIN_S", 0.01)
    with pytest.raises(rtc.ConnectError):
        await connect(room)
    async with asyncio.timeout(WITHIN_S):
        while not statuses:  # noqa: ASYNC110 - an end sends no event
            await asyncio.sleep(0.01)
    room.may_connect.set()

    assert statuses == [1]
