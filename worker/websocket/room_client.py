"""One WebSocket client as a participant of a room: heard by all there, and hears all.

It joins with the token that the token service minted for it, publishes what it says as a
microphone, silence included, and gets one mixed frame per tick. Its words and the room's events
come from the token service, which reads them in redis.
"""

import asyncio
from collections.abc import Callable

import structlog
from aiohttp import WSCloseCode
from livekit import rtc

from protocol.config.settings import Settings
from protocol.websocket_ticket import RoomTicket
from protocol.wire import ATTR_WEBSOCKET, ReadyMessage
from worker.engine.arrays import Pcm
from worker.frames import RATE_HZ, SILENCE
from worker.grid import wait_for_tick
from worker.room.persona.participant import join
from worker.sound.ears import Ears
from worker.sound.voice import Voice
from worker.websocket.client import Ending, SoundReader, SoundWriter, WebSocketClient
from worker.websocket.opus import OpusReader, OpusWriter
from worker.websocket.pcm import PcmReader, PcmWriter

log = structlog.get_logger(__name__)

OUTGOING = 12  # frames that wait for a slow network, about 1 s; then the oldest is dropped
SOUND: dict[str, tuple[Callable[[], SoundReader], Callable[[], SoundWriter]]] = {
    "pcm": (PcmReader, PcmWriter),
    "opus": (OpusReader, OpusWriter),
}

CANNOT_JOIN = Ending(WSCloseCode.INTERNAL_ERROR, "LiveKit does not let this participant join")
LOST = Ending(WSCloseCode.INTERNAL_ERROR, "the connection to LiveKit is lost; connect again")
TAKEN = Ending(WSCloseCode.POLICY_VIOLATION, "another connection has this identity now")
REMOVED = Ending(WSCloseCode.OK, "removed from the room")
ENDINGS = {
    rtc.DisconnectReason.DUPLICATE_IDENTITY: TAKEN,
    rtc.DisconnectReason.PARTICIPANT_REMOVED: REMOVED,
    rtc.DisconnectReason.ROOM_DELETED: REMOVED,
    rtc.DisconnectReason.ROOM_CLOSED: REMOVED,
}


class RoomClient:
    """Serves one client until there is a reason to end."""

    def __init__(self, client: WebSocketClient, opens: RoomTicket, settings: Settings) -> None:
        self._client = client
        self._opens = opens
        self._joining = asyncio.create_task(join(opens.token, settings), name="room client joins")
        self._outgoing: asyncio.Queue[Pcm] = asyncio.Queue(OUTGOING)

    async def run(self) -> Ending:
        """Join, talk, leave; return why it ended."""
        make_reader, make_writer = SOUND[self._opens.format]
        try:
            return await self._client.run(make_reader(), self._talk(), self._send(make_writer()))
        except (rtc.ConnectError, rtc.participant.PublishTrackError) as error:
            log.warning("room_client_failed", error=type(error).__name__)
            return CANNOT_JOIN
        finally:
            await asyncio.wait([self._joining])  # the client may leave while it joins
            if self._joining.exception() is None:
                await self._joining.result().disconnect()

    async def _talk(self) -> None:
        """Say the client's frames and queue those of all others, on the worker's grid."""
        room = await asyncio.shield(self._joining)
        room.on("disconnected", self._on_disconnected)
        room.on("participant_attributes_changed", self._on_attributes)
        if not room.isconnected():
            return self._client.end(LOST)
        ears, voice = Ears(room, lambda *_: True), Voice(room, "microphone")
        try:
            await voice.publish()
            await self._client.send(self._ready(room).model_dump_json())
            while True:
                await wait_for_tick()
                frame = self._client.ring.take()
                voice.play(SILENCE if frame is None else frame)
                self._queue(ears.next_frame())
        finally:
            ears.close()
            await voice.fade_out()
            await voice.unpublish()

    async def _send(self, writer: SoundWriter) -> None:
        while True:
            frame = await self._outgoing.get()
            await self._client.send(await self._client.encoded(writer, frame))

    def _queue(self, frame: Pcm) -> None:
        if self._outgoing.full():
            self._outgoing.get_nowait()
        self._outgoing.put_nowait(frame)

    def _ready(self, room: rtc.Room) -> ReadyMessage:
        return ReadyMessage(
            room=room.name,
            identity=room.local_participant.identity,
            format=self._opens.format,
            sample_rate_hz=RATE_HZ,
            recording=self._opens.recording,
        )

    def _on_attributes(self, changed: dict[str, str], participant: rtc.Participant) -> None:
        """Leave the room where the token service wants this participant to."""
        if isinstance(participant, rtc.LocalParticipant) and ATTR_WEBSOCKET in changed:
            self._client.end(REMOVED)

    def _on_disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        self._client.end(ENDINGS.get(reason, LOST))
