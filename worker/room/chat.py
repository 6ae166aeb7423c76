"""The lines that people type into a room: read, handed on and answered, each in its measure.

Runs on the room's event loop. A line has a deadline, and a person a few lines at a time
(`worker.livekit_private.incoming`); who sends without measure is removed from the room.
"""

import asyncio
from collections.abc import Callable, Coroutine

import structlog
from livekit import rtc
from livekit.rtc._ffi_client import FfiClient  # private; the package is pinned to an exact version
from livekit.rtc._proto.ffi_pb2 import FfiRequest
from prometheus_client import Counter

from protocol import wire
from worker.allowance import Allowance
from worker.livekit_private.incoming import Incoming
from worker.livekit_private.native_events import native_events
from worker.room.background_tasks import Background

log = structlog.get_logger(__name__)

CANNOT_READ = "I can hear you, but I cannot read yet. Please say it aloud."
LINE_CHARACTERS = 10_000
LINE_WITHIN_S = 10.0  # from its beginning to its end
ANSWERS_AT_ONCE, ANSWERS_PER_S = 2, 0.2  # to one person: the answer is always the same

LATE = Counter("moshi_late_lines", "Typed lines that had no end within their time")
REMOVED = Counter("moshi_removed_participants", "Participants removed for sending without measure")


class Chat:
    """The typed lines of one connected room."""

    def __init__(
        self,
        room: rtc.Room,
        on_line: Callable[[str], None],
        remove: Callable[[str], Coroutine[None, None, None]],
    ) -> None:
        """`on_line(text)` is called with each line; `remove(identity)` removes a participant."""
        self._room = room
        self._on_line = on_line
        self._remove = remove
        self._answers: dict[str, Allowance] = {}
        self._tasks = Background("chat", room.name)
        self._incoming = Incoming(self._begun, self._flooded)
        room.on("participant_disconnected", self._left)
        native_events().attach(room, self._incoming.wants)

    async def aclose(self) -> None:
        """Read and answer no more."""
        await self._tasks.aclose()

    async def say(self, text: str) -> None:
        """Send one line from the first persona, if the room can still be reached."""
        if self._room.isconnected():
            await self._room.local_participant.send_text(text, topic=wire.CHAT_TOPIC)

    def _left(self, participant: rtc.RemoteParticipant) -> None:
        self._incoming.left(participant.identity)
        self._answers.pop(participant.identity, None)

    def _begun(self, identity: str, handle: int) -> None:
        self._tasks.spawn(self._serve(identity, handle))

    async def _serve(self, identity: str, handle: int) -> None:
        """Read a line and answer it. It counts as open for as long as its sender keeps it so."""
        try:
            reading = asyncio.create_task(_text(handle), name="line")
            await asyncio.wait([reading], timeout=LINE_WITHIN_S)
            is_late = not reading.done()
            if is_late:
                LATE.inc()
            text = await reading
        finally:
            self._incoming.ended(identity)
        if text and not is_late and len(text) <= LINE_CHARACTERS:
            self._on_line(text)
            answers = self._answers.setdefault(identity, Allowance(ANSWERS_AT_ONCE, ANSWERS_PER_S))
            if answers.take():
                await self.say(CANNOT_READ)

    def _flooded(self, identity: str) -> None:
        REMOVED.inc()
        log.warning("participant_removed", identity=identity, reason="flood")
        self._tasks.spawn(self._remove(identity))


async def _text(handle: int) -> str:
    """Read a text stream whole; empty where its sender broke it off or it is too long."""
    queue = FfiClient.instance.queue.subscribe()
    try:
        request = FfiRequest()
        request.text_read_all.reader_handle = handle
        asked = FfiClient.instance.request(request).text_read_all.async_id
        event = await queue.wait_for(lambda e: e.text_stream_reader_read_all.async_id == asked)
    finally:
        FfiClient.instance.queue.unsubscribe(queue)
    return event.text_stream_reader_read_all.content
