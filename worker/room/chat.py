"""Reads the lines that people type into a room. Runs on the room's event loop.

`worker.livekit_private.incoming` limits how many lines one person may type. A participant that
floods the room with messages is removed.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine

import structlog
from livekit import rtc
from prometheus_client import Counter

from protocol import wire
from protocol.events import TranscriptEvent
from protocol.text import clean
from worker.allowance import Allowance
from worker.background_tasks import BackgroundTasks
from worker.livekit_private.early_streams import EarlyStreams
from worker.livekit_private.incoming import MessageFilter, read_text
from worker.livekit_private.native_events import native_events

log = structlog.get_logger(__name__)

CANNOT_READ = "I can hear you, but I cannot read. Please say it aloud."
LINE_CHARACTERS = 10_000
TOO_LONG = f"I can take up to {LINE_CHARACTERS:,} characters at a time. That was more."
EVENT_CHARACTERS = 2000  # of such a line, in events and for a mind: redis keeps many
LINE_WITHIN_S = 10.0  # from its beginning to its end
ANSWERS_AT_ONCE, ANSWERS_PER_S = 2, 0.2  # to one person: the answer is always the same

LATE = Counter("moshi_late_lines", "Typed lines that had no end within their time")
REMOVED = Counter("moshi_removed_participants", "Participants removed for sending without measure")


def typed_line(identity: str, text: str) -> TranscriptEvent:
    """Return the event of a line that a person typed; its end is cut off where it is long."""
    return TranscriptEvent(
        at_s=time.time(),
        identity=identity,
        segment_id=wire.new_segment_id(),
        text=text[:EVENT_CHARACTERS],
        final=True,
        typed=True,
        start_s=0.0,
        end_s=0.0,
    )


class Chat:
    """The typed lines of one connected room."""

    def __init__(
        self,
        room: rtc.Room,
        on_line: Callable[[str, str], None],
        remove: Callable[[str], Coroutine[None, None, None]],
        early: EarlyStreams,
    ) -> None:
        """`on_line(identity, text)` gets each line; `remove(identity)` removes a participant.

        `early` gets the sound that participants send as messages.
        """
        self._room = room
        self._on_line = on_line
        self._remove = remove
        self._answers: dict[str, Allowance] = {}  # by identity
        self._tasks = BackgroundTasks("chat", room.name)
        self._filter = MessageFilter(self._on_line_begun, self._on_flood, early)
        room.on("participant_disconnected", self._on_left)
        native_events().add_room(room, self._filter.accepts)

    def close(self) -> None:
        """Stop reading and answering."""
        self._tasks.cancel()

    async def send(self, text: str) -> None:
        """Send one line as the first persona, if the room is still connected."""
        if self._room.isconnected():
            await self._room.local_participant.send_text(text, topic=wire.CHAT_TOPIC)

    def cannot_read(self, identity: str) -> None:
        """Tell a person who typed a line that the personas cannot read it.

        The person may be unknown yet: a line can arrive before LiveKit says that its sender joined.
        """
        self._answer(identity, CANNOT_READ)

    def _answer(self, identity: str, text: str) -> None:
        answers = self._answers.setdefault(identity, Allowance(ANSWERS_AT_ONCE, ANSWERS_PER_S))
        if answers.take():
            self._tasks.spawn(self.send(text))

    def _on_left(self, participant: rtc.RemoteParticipant) -> None:
        self._filter.participant_left(participant.identity)
        self._answers.pop(participant.identity, None)

    def _on_line_begun(self, identity: str, handle: int) -> None:
        self._tasks.spawn(self._read(identity, handle))

    async def _read(self, identity: str, handle: int) -> None:
        """Read a line; pass over a blank one. A late line stays open until its sender ends it."""
        try:
            reading = asyncio.create_task(read_text(handle), name="line")
            await asyncio.wait([reading], timeout=LINE_WITHIN_S)
            is_late = not reading.done()
            if is_late:
                LATE.inc()
            text = await reading
        finally:
            self._filter.line_ended(identity)
        if is_late:
            return
        if text is None or len(text) > LINE_CHARACTERS:
            return self._answer(identity, TOO_LONG)
        if line := clean(text).strip():
            self._on_line(identity, line)

    def _on_flood(self, identity: str) -> None:
        REMOVED.inc()
        log.warning("participant_removed", identity=identity, reason="flood")
        self._tasks.spawn(self._remove_flooder(identity))

    async def _remove_flooder(self, identity: str) -> None:
        """Remove a participant; where that fails, its flood is reported again."""
        try:
            await self._remove(identity)
        except Exception:
            self._filter.participant_left(identity)
            raise
