"""One WebSocket client: takes its sound at a limited rate, and ends it with a reason."""

import asyncio
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from worker.allowance import Allowance
from worker.engine.arrays import Pcm
from worker.sound.ring import Ring
from worker.websocket.messages import BadMessage

# Packets, and messages without one; what is above it is read later. 20 ms are usual for a packet, 5
# fit.
PACKETS_AT_ONCE, PACKETS_PER_S = 400, 200
FULL_WAIT_S = 0.05
# 10 s for which a frame may stay behind: TCP's jitter is larger than that of a track, and nothing
# has the frames come ahead of a tick.
JITTER_TICKS = 125
TAKEN_WITHIN_S = 10.0  # each message, by a client that reads

# sphn releases the interpreter lock; the loop has other clients to serve in between.
codecs = ThreadPoolExecutor(max_workers=2, thread_name_prefix="opus")


class SoundReader(Protocol):
    """Reads one client's sound. `decode` is called on a thread, once at a time."""

    def split(self, message: bytes) -> Iterable[tuple[int, bytes]]:
        """Return the pieces that are whole now, each with its packets. Raises `BadMessage`."""
        ...

    def decode(self, piece: bytes) -> list[Pcm]:
        """Return the frames that are whole now, `[1920]` float32. Raises `BadMessage`."""
        ...


class SoundWriter(Protocol):
    """Writes sound for one client. Called on a thread, once at a time."""

    def encode(self, pcm: Pcm) -> bytes:
        """Return a frame, `[1920]` float32, as the client reads it."""
        ...


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a connection ends: a close code of RFC 6455 and a sentence."""

    code: int
    reason: str


GONE = Ending(WSCloseCode.OK, "the client left")
TOO_SLOW = Ending(WSCloseCode.POLICY_VIOLATION, "the client reads too slowly")


class WebSocketClient:
    """One open connection. What the client says waits in `ring` for a tick of the grid."""

    def __init__(self, ws: web.WebSocketResponse, idle_s: float) -> None:
        """A client that sends nothing for `idle_s` is gone."""
        self.ring = Ring(JITTER_TICKS)
        self._ws = ws
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._ending: asyncio.Future[Ending] = self._loop.create_future()

    def end(self, ending: Ending) -> None:
        """End the connection, unless it ends already."""
        if not self._ending.done():
            self._ending.set_result(ending)

    async def run(self, reader: SoundReader, *work: Coroutine[Any, Any, None]) -> Ending:
        """Take the client's sound and do the work until there is a reason to end; return it."""
        tasks = [asyncio.create_task(each) for each in (self._receive(reader), *work)]
        try:
            await asyncio.wait([self._ending, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            return await self._ending
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def send(self, *messages: bytes | str) -> None:
        """Send messages; end the connection of a client that is gone or does not read."""
        try:
            for message in messages:
                async with asyncio.timeout(TAKEN_WITHIN_S):
                    if isinstance(message, str):
                        await self._ws.send_str(message)
                    else:
                        await self._ws.send_bytes(message)
        except TimeoutError:
            self.end(TOO_SLOW)
        except ConnectionError:
            self.end(GONE)

    async def encoded(self, writer: SoundWriter, pcm: Pcm) -> bytes:
        """Return a frame, `[1920]` float32, as the client reads it."""
        return await self._loop.run_in_executor(codecs, writer.encode, pcm)

    async def _receive(self, reader: SoundReader) -> None:
        """Decode what the client sends, no faster than the allowance."""
        allowance = Allowance(PACKETS_AT_ONCE, PACKETS_PER_S)
        try:
            while True:
                async with asyncio.timeout(self._idle_s):  # `receive`'s begins anew at each pong
                    message = await self._ws.receive()
                if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
                    return self.end(GONE)
                if message.type is WSMsgType.ERROR:
                    raise BadMessage(str(self._ws.exception()))
                data = message.data if message.type is WSMsgType.BINARY else b""
                has_sound = False
                for packets, piece in reader.split(data):
                    has_sound = True
                    await _wait_for(allowance, packets)
                    for frame in await self._loop.run_in_executor(codecs, reader.decode, piece):
                        self.ring.put(frame)
                if not has_sound:
                    await _wait_for(allowance, 1)
        except TimeoutError:
            self.end(Ending(WSCloseCode.GOING_AWAY, f"nothing came for {self._idle_s:g} s"))
        except BadMessage as error:
            self.end(Ending(WSCloseCode.INVALID_TEXT, str(error)))


async def _wait_for(allowance: Allowance, amount: int) -> None:
    while not allowance.take(amount):  # noqa: ASYNC110 - time alone fills it
        await asyncio.sleep(FULL_WAIT_S)
