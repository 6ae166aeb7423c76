"""One WebSocket client's conversation with one persona, from its slot to its end. Main loop.

The client's sound waits in a ring of three frames, as a track's in a room, and goes to the engine
on the worker's grid; silence stands in for what does not come. So late sound never adds up.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from aiohttp import WSCloseCode, WSMsgType, web

from protocol.room_spec import PersonaSpec
from worker.allowance import Allowance
from worker.engine.engine import Engine
from worker.engine.slots import Occupant, SlotFrame
from worker.grid import next_tick
from worker.room.words import Words
from worker.sound.ring import Ring
from worker.websocket import messages
from worker.websocket.messages import BadMessage
from worker.websocket.opus import OpusReader, OpusWriter, PageCutter, packets_of
from worker.websocket.turns import TurnMeter

# Packets and other messages; what is above it is read later. 20 ms are usual for a packet, 5 fit.
PACKETS_AT_ONCE, PACKETS_PER_S = 400, 200
FULL_WAIT_S = 0.05
OUTGOING = 50  # frames and words that wait for a client that reads slowly: 2 to 4 s

# sphn releases the interpreter lock; the main loop has heartbeats to write in between.
_codecs = ThreadPoolExecutor(max_workers=2, thread_name_prefix="opus")


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a conversation ends: a close code of RFC 6455 and a sentence."""

    code: int
    reason: str


GONE = Ending(WSCloseCode.OK, "the client left")
TOO_SLOW = Ending(WSCloseCode.POLICY_VIOLATION, "the client reads too slowly")
SLOT_FAILED = Ending(WSCloseCode.INTERNAL_ERROR, "the persona's slot failed; connect again")


class Conversation:
    """Serves one client until there is a reason to end."""

    def __init__(self, ws: web.WebSocketResponse, persona: PersonaSpec, engine: Engine) -> None:
        self._ws = ws
        self._persona = persona
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._ring = Ring()
        self._words = Words(engine.model.pieces, engine.model.frame_s)
        self._segment_id = ""
        self._outgoing: asyncio.Queue[SlotFrame] = asyncio.Queue(OUTGOING)
        self._ending: asyncio.Future[Ending] = self._loop.create_future()

    def end(self, ending: Ending) -> None:
        """End the conversation, unless it ends already."""
        if not self._ending.done():
            self._ending.set_result(ending)

    async def run(self, on_slot_taken: Callable[[], None], idle_s: float) -> Ending:
        """Take a slot, talk, free the slot; return why it ended. Raises `Full`.

        A client that sends nothing for `idle_s` is gone.
        """
        turns = TurnMeter()
        occupant = self._engine.join(self._persona, self._on_frame, self._on_slot_failed)
        on_slot_taken()
        self._greet(occupant)
        tasks = [
            asyncio.create_task(self._receive(idle_s), name="websocket receive"),
            asyncio.create_task(self._tick(occupant, turns), name="websocket tick"),
            asyncio.create_task(self._send(turns), name="websocket send"),
        ]
        try:
            await asyncio.wait([self._ending, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            return await self._ending
        finally:
            self._engine.leave(occupant)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await turns.aclose()

    async def _receive(self, idle_s: float) -> None:
        """Decode what the client sends, no faster than the allowance."""
        cutter, reader = PageCutter(), OpusReader(self._engine.model.frame_samples)
        allowance = Allowance(PACKETS_AT_ONCE, PACKETS_PER_S)
        try:
            while True:
                message = await self._ws.receive(idle_s)
                if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
                    return self.end(GONE)
                if message.type is WSMsgType.ERROR:
                    raise BadMessage(str(self._ws.exception()))
                await _wait_for(allowance, 1)
                data = message.data if message.type is WSMsgType.BINARY else b""
                if not data.startswith(messages.AUDIO):
                    continue  # as all servers of this protocol
                for page in cutter.feed(data[1:]):
                    await _wait_for(allowance, packets_of(page))
                    for frame in await self._loop.run_in_executor(_codecs, reader.decode, page):
                        self._ring.put(frame)
        except TimeoutError:
            self.end(Ending(WSCloseCode.GOING_AWAY, f"nothing came for {idle_s:g} s"))
        except BadMessage as error:
            self.end(Ending(WSCloseCode.INVALID_TEXT, str(error)))

    async def _tick(self, occupant: Occupant, turns: TurnMeter) -> None:
        """Give the engine one frame every 80 ms, on the worker's grid."""
        silence = np.zeros(self._engine.model.frame_samples, dtype=np.float32)
        while True:
            now_s = self._loop.time()
            await asyncio.sleep(next_tick(now_s) - now_s)
            frame = self._ring.take()
            pcm = silence if frame is None else frame
            self._engine.push(occupant, pcm)
            turns.heard(pcm)

    async def _send(self, turns: TurnMeter) -> None:
        """Send the handshake with the persona's first frame, then every frame and word."""
        writer = OpusWriter()
        while True:
            frame = await self._outgoing.get()
            pages = await self._loop.run_in_executor(_codecs, writer.encode, frame.pcm)
            try:
                if frame.index == 0:
                    await self._ws.send_bytes(messages.HANDSHAKE)
                await self._ws.send_bytes(messages.AUDIO + pages)
                for text in self._texts(frame):
                    await self._ws.send_bytes(messages.TEXT + text.encode())
            except ConnectionError:
                return self.end(GONE)
            turns.said(frame.pcm)

    def _texts(self, frame: SlotFrame) -> list[str]:
        """Return the text that came with a frame; words begin with a space, as Moshi's pieces."""
        texts: list[str] = []
        for update in self._words.feed(frame.text, frame.index):
            if update.added:
                is_new = update.segment_id != self._segment_id
                self._segment_id = update.segment_id
                texts.append(f" {update.added}" if is_new else update.added)
        return texts

    def _on_frame(self, frame: SlotFrame) -> None:
        """Take a frame from the engine. Engine thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._queue, frame)

    def _queue(self, frame: SlotFrame) -> None:
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull:
            self.end(TOO_SLOW)

    def _on_slot_failed(self) -> None:
        """Note that the engine has given up the slot. Engine thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.end, SLOT_FAILED)

    def _greet(self, occupant: Occupant) -> None:
        """Say the persona's greeting, where it has one and the model can say it."""
        repertoire, text = self._engine.model.repertoire, self._persona.greeting
        if text and repertoire is not None:
            text = repertoire.find(text, self._persona.voice) or ""
        if text:
            self._engine.say(occupant, text, lambda _: None)


async def _wait_for(allowance: Allowance, amount: int) -> None:
    while not allowance.take(amount):  # noqa: ASYNC110 - time alone fills it
        await asyncio.sleep(FULL_WAIT_S)
