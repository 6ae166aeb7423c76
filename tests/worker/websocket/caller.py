"""A client of Moshi's protocol, written as others do: Ogg/Opus and words over a WebSocket."""

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
import sphn

from worker.engine.arrays import Pcm
from worker.frames import RATE_HZ

FRAME = 1920
WITHIN_S = 20.0


class Caller:
    """One open connection, and what was heard and read on it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.kinds: list[int] = []  # of all messages, in order
        self.heard: list[Pcm] = []
        self.words = ""
        self.closed: tuple[int, str] | None = None
        self._reader = sphn.OpusStreamReader(RATE_HZ)
        self._writer = sphn.OpusStreamWriter(RATE_HZ)

    @property
    def is_ready(self) -> bool:
        """Return whether the handshake has come."""
        return self.kinds[:1] == [0]

    def sound(self, begin: int = 0) -> Pcm:
        """Return the sound of all messages from the one at `begin`."""
        return np.concatenate([np.zeros(0, dtype=np.float32), *self.heard[begin:]])

    def loudness(self, begin: int = 0) -> float:
        """Return the power of the loudest frame from the message at `begin`."""
        return max((float(np.mean(each**2)) for each in self.heard[begin:] if len(each)), default=0)

    async def listen(self) -> None:
        """Receive messages until the connection ends."""
        while (message := await self.socket.receive()).type is aiohttp.WSMsgType.BINARY:
            kind, payload = message.data[0], message.data[1:]
            self.kinds.append(kind)
            if kind == 1:
                self.heard.append(self._reader.append_bytes(payload))
            elif kind == 2:
                self.words += payload.decode()
        if message.type is aiohttp.WSMsgType.CLOSE:
            self.closed = (message.data, message.extra)
        else:
            self.closed = (self.socket.close_code or 0, "")

    async def speak(self, sound: Pcm, samples: int = FRAME) -> None:
        """Send sound as it is spoken, `[n]` float32, in packets of so many samples."""
        due_s = time.monotonic()
        for begin in range(0, len(sound), samples):
            packet = np.zeros(samples, dtype=np.float32)
            part = sound[begin : begin + samples]
            packet[: len(part)] = part
            await self.socket.send_bytes(b"\x01" + self._writer.append_pcm(packet))
            due_s += samples / RATE_HZ
            await asyncio.sleep(max(due_s - time.monotonic(), 0.0))

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Send silence until a condition holds."""
        deadline_s = time.monotonic() + WITHIN_S
        while not holds():
            assert time.monotonic() < deadline_s, f"{what}: not within {WITHIN_S:g} s"
            await self.speak(np.zeros(FRAME, dtype=np.float32))

    async def closes(self) -> tuple[int, str]:
        """Wait, without sending, until the connection ends; return code and reason."""
        async with asyncio.timeout(WITHIN_S):
            while self.closed is None:  # noqa: ASYNC110 - the listener sets it
                await asyncio.sleep(0.02)
        return self.closed


@asynccontextmanager
async def calling(url: str, password: str = "", **options: object) -> AsyncGenerator[Caller]:
    """Open a connection; a password is sent as `wss://any:password@…` sends it."""
    if password:
        basic = base64.b64encode(f"any:{password}".encode()).decode()
        options["headers"] = {"Authorization": f"Basic {basic}"}
    async with aiohttp.ClientSession() as http, http.ws_connect(url, **options) as socket:
        caller = Caller(socket)
        listening = asyncio.create_task(caller.listen(), name="listening")
        try:
            yield caller
        finally:
            await socket.close()
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
