"""Participants by signalling alone: LiveKit counts them for a minute; no sound is sent."""

import asyncio
import contextlib
import time
from types import TracebackType
from typing import Self

import aiohttp
from livekit.protocol.rtc import SignalRequest, SignalResponse

PING_S = 5.0  # LiveKit waits 15 s for one


class Participants:
    """Joins rooms, and answers for all participants until the end."""

    def __init__(self) -> None:
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._open: list[aiohttp.ClientWebSocketResponse] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks.append(asyncio.create_task(self._ping()))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()

    async def enter(self, url: str, token: str) -> None:
        """Join a room; return when LiveKit has answered."""
        query = {"access_token": token, "protocol": "15", "auto_subscribe": "0"}
        socket = await self._http.ws_connect(f"{url.rstrip('/')}/rtc", params=query)
        answer = SignalResponse.FromString(await socket.receive_bytes())
        if answer.WhichOneof("message") != "join":
            raise ConnectionError(f"LiveKit answered {answer.WhichOneof('message')}")
        self._open.append(socket)
        self._tasks.append(asyncio.create_task(_pass_over(socket)))

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            ping = SignalRequest(ping=int(time.time() * 1000)).SerializeToString()
            for socket in list(self._open):
                with contextlib.suppress(ConnectionError):
                    await socket.send_bytes(ping)


async def _pass_over(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass
