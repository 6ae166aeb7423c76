"""Publishes a persona's words to its room. Runs on the room's event loop.

Three forms of the same words: LiveKit's text streams (`lk.transcription`), LiveKit's older
transcription packets while somebody in the room may still need them, and one JSON message per
final segment (`protocol.wire.SegmentMessage`) for clients with neither.
"""

import asyncio

import structlog
from livekit import rtc

# Private, and the package is pinned: the same rule as every other LiveKit agent's.
from livekit.agents.voice.room_io import _output as room_io  # pyright: ignore[reportPrivateUsage]

from protocol import wire
from worker.room.words import Added, Closed

log = structlog.get_logger(__name__)


class Transcript:
    """One persona's words on their way out, in order."""

    def __init__(self, room: rtc.Room, persona: str, track_sid: str) -> None:
        self._room = room
        self._persona = persona
        self._track_sid = track_sid
        self._changes: asyncio.Queue[Added | Closed] = asyncio.Queue()
        self._writer: rtc.TextStreamWriter | None = None
        self._task = asyncio.create_task(self._run(), name=f"transcript {persona}")

    def feed(self, changes: list[Added | Closed]) -> None:
        """Publish these next."""
        for change in changes:
            self._changes.put_nowait(change)

    async def aclose(self) -> None:
        """Publish what is left, then stop."""
        if not self._task.done():
            flushed = asyncio.create_task(self._changes.join())
            await asyncio.wait([flushed, self._task], timeout=1.0, return_when="FIRST_COMPLETED")
            flushed.cancel()
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            change = await self._changes.get()
            try:
                await self._publish(change)
            except Exception as error:  # the SDK raises several kinds; a lost word ends no call
                log.warning("transcript_failed", error=type(error).__name__)
                self._writer = None
            finally:
                self._changes.task_done()

    async def _publish(self, change: Added | Closed) -> None:
        if isinstance(change, Added):
            await self._add(change)
            await self._publish_packet(change.segment_id, change.so_far, change.start_s, None)
        else:
            await self._close(change)
            await self._publish_packet(change.segment_id, change.text, change.start_s, change.end_s)
            await self._publish_message(change)

    async def _add(self, added: Added) -> None:
        if self._writer is None:
            attributes = {
                wire.ATTR_SEGMENT_ID: added.segment_id,
                wire.ATTR_SEGMENT_FINAL: "false",
                wire.ATTR_TRACK_ID: self._track_sid,
            }
            self._writer = await self._room.local_participant.stream_text(
                topic=wire.TRANSCRIPTION_TOPIC, attributes=attributes
            )
        await self._writer.write(added.text)

    async def _close(self, closed: Closed) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.aclose(
                attributes={
                    wire.ATTR_SEGMENT_ID: closed.segment_id,
                    wire.ATTR_SEGMENT_FINAL: "true",
                    wire.ATTR_TRACK_ID: self._track_sid,
                }
            )

    async def _publish_packet(
        self, segment_id: str, text: str, start_s: float, end_s: float | None
    ) -> None:
        """The older form: the whole text so far under a stable id (livekit-agents room_io)."""
        needed = room_io._legacy_transcription_needed(self._room)  # pyright: ignore[reportPrivateUsage]
        if not needed:
            return
        segment = rtc.TranscriptionSegment(
            id=segment_id,
            text=text,
            start_time=int(start_s * 1000),
            end_time=int((end_s or start_s) * 1000),
            language="",
            final=end_s is not None,
        )
        await self._room.local_participant.publish_transcription(
            rtc.Transcription(
                participant_identity=self._room.local_participant.identity,
                track_sid=self._track_sid,
                segments=[segment],
            )
        )

    async def _publish_message(self, closed: Closed) -> None:
        message = wire.SegmentMessage(
            id=closed.segment_id,
            identity=self._room.local_participant.identity,
            persona=self._persona,
            text=closed.text,
            start_s=closed.start_s,
            end_s=closed.end_s,
        )
        await self._room.local_participant.publish_data(
            message.model_dump_json(), topic=wire.SEGMENT_TOPIC
        )
