"""One WebSocket client's conversation with one persona, from its slot to its end.

The client's sound waits in a ring of three frames, as a track's in a room, and goes to the engine
on the worker's grid; silence stands in for what does not come. So late sound never adds up.
"""

import asyncio
from collections.abc import Iterator

from aiohttp import WSCloseCode

from protocol.room_spec import PersonaSpec
from worker.engine.door import EngineDoor
from worker.engine.slots import Full, Occupant, SlotFrame
from worker.frames import SILENCE
from worker.grid import wait_for_tick
from worker.loops import call_on_loop
from worker.room.persona.words import Words
from worker.websocket import messages
from worker.websocket.client import TOO_SLOW, Ending, WebSocketClient
from worker.websocket.opus import OpusReader, OpusWriter
from worker.websocket.turns import TurnMeter

OUTGOING = 50  # frames and words that wait for a client that reads slowly: 2 to 4 s

NO_SLOT = Ending(WSCloseCode.TRY_AGAIN_LATER, "no free slot")
SLOT_FAILED = Ending(WSCloseCode.INTERNAL_ERROR, "the persona's slot failed; connect again")


class MoshiReader(OpusReader):
    """Reads the sound of a client of Moshi's protocol, and passes over all other messages."""

    def split(self, message: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the pages of a message of sound; none of another, as all servers of Moshi's."""
        if message.startswith(messages.AUDIO):
            yield from super().split(message[1:])


class Conversation:
    """Serves one client until there is a reason to end."""

    def __init__(
        self,
        client: WebSocketClient,
        persona: PersonaSpec,
        engine: EngineDoor,
        number: int,
    ) -> None:
        self._client = client
        self._persona = persona
        self._engine = engine
        self._number = number  # of the client, for which a slot is kept
        self._loop = asyncio.get_running_loop()
        self._words = Words(engine.facts.pieces)
        self._segment_id = ""
        self._outgoing: asyncio.Queue[SlotFrame] = asyncio.Queue(OUTGOING)

    async def run(self) -> Ending:
        """Take a slot, talk, free the slot; return why it ended."""
        try:
            occupant = await asyncio.to_thread(  # it may wait for the main process
                self._engine.join,
                self._persona,
                self._on_frame,
                self._on_slot_failed,
                loop=self._loop,
                kept_for=self._number,
            )
        except Full:
            return NO_SLOT
        self._greet(occupant)
        turns = TurnMeter()
        try:
            return await self._client.run(
                MoshiReader(), self._tick(occupant, turns), self._send(turns)
            )
        finally:
            self._engine.leave(occupant)

    async def _tick(self, occupant: Occupant, turns: TurnMeter) -> None:
        """Give the engine one frame every 80 ms, on the worker's grid."""
        while True:
            await wait_for_tick()
            frame = self._client.ring.take()
            pcm = SILENCE if frame is None else frame
            self._engine.push(occupant, pcm)
            turns.heard(pcm)

    async def _send(self, turns: TurnMeter) -> None:
        """Send the handshake with the persona's first frame, then every frame and word."""
        writer = OpusWriter()
        while True:
            frame = await self._outgoing.get()
            if frame.index == 0:
                await self._client.send(messages.HANDSHAKE)
            pages = await self._client.encoded(writer, frame.pcm)
            texts = [messages.TEXT + text.encode() for text in self._texts(frame)]
            await self._client.send(messages.AUDIO + pages, *texts)
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
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull:
            self._client.end(TOO_SLOW)

    def _on_slot_failed(self) -> None:
        """Note that the engine has given up the slot. Another thread."""
        call_on_loop(self._loop, self._client.end, SLOT_FAILED)

    def _greet(self, occupant: Occupant) -> None:
        """Say the persona's greeting, where it has one and the model can say it."""
        repertoire, text = self._engine.facts.repertoire, self._persona.greeting
        if text and repertoire is not None:
            text = repertoire.find(text, self._persona.voice) or ""
        if text:
            self._engine.say(occupant, text, lambda _: None)
