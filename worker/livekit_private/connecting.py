"""Connects to rooms of LiveKit within a bounded time.

LiveKit's native library (livekit 1.1.21) tries four times: 32 s where a server accepts and says
nothing, 60 s where its media ports cannot be reached. Where the machine allows no thread for its
first connection it never answers, then or later. A connect cannot be cancelled (python-sdks#784):
the participant would stay.
"""

import asyncio
import os

import structlog
from livekit import rtc

log = structlog.get_logger(__name__)

# A connection for each direction: with one for both LiveKit grows slow (docs/decisions.md).
CONNECTION = rtc.RoomOptions(auto_subscribe=False, single_peer_connection=False)
CONNECT_WITHIN_S = 15.0  # a busy machine takes some seconds
LIBRARY_WITHIN_S = 120.0  # four times 8 s for the server's answer, 5 for the room's, 15 for media

_late: set[asyncio.Task[None]] = set()  # of all loops


async def connect(room: rtc.Room, url: str, token: str) -> None:
    """Connect to a token's room. Never cancel this. Raises `ConnectError`, also after a while.

    A connection that comes later is closed.
    """
    connecting = asyncio.create_task(room.connect(url, token, CONNECTION), name="connect")
    await asyncio.wait([connecting], timeout=CONNECT_WITHIN_S)
    if not connecting.done():
        closing = asyncio.create_task(_close_late(room, connecting), name="late connection")
        _late.add(closing)
        closing.add_done_callback(_late.discard)
        raise rtc.ConnectError(f"LiveKit has not let in within {CONNECT_WITHIN_S:g} s")
    connecting.result()


async def late_closed() -> None:
    """Return once no connection of this loop is late any more: its end would cancel one."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(each for each in tuple(_late) if each.get_loop() is loop))


async def _close_late(room: rtc.Room, connecting: "asyncio.Task[None]") -> None:
    """Close a connection as soon as it is there; without an answer end this process.

    It would get every new room, as the one with the least to do. Another one replaces it.
    """
    await asyncio.wait([connecting], timeout=LIBRARY_WITHIN_S)
    if not connecting.done():
        log.error("rooms_end", reason=f"LiveKit's library gave no answer in {LIBRARY_WITHIN_S:g} s")
        os._exit(1)
    if connecting.exception() is None:
        await room.disconnect()
