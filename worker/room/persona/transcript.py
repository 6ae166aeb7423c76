"""Publishes the words of personas and people to their room and as events. Room's event loop.

Each segment goes out in three forms: as a LiveKit text stream (`lk.transcription`), as LiveKit's
older transcription packets while a participant may still need them, and, once final, as one JSON
message (`protocol.wire.SegmentMessage`) for clients that read neither. As LiveKit's agents do, a
persona's stream grows until its segment is final, and each version of a person's words is a stream
of its own, sent with the person's identity.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from livekit import rtc

# Private; the package is pinned. It decides as every other LiveKit agent does.
from livekit.agents.voice.room_io import _output as room_io  # pyright: ignore[reportPrivateUsage]

from protocol import wire
from protocol.events import Event, TranscriptEvent
from worker.room.persona.words import SegmentUpdate

log = structlog.get_logger(__name__)

CLOSE_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Speaker:
    """A participant whose words are published."""

    identity: str
    track_sid: str
    persona: str = ""  # its name; empty: a person
    persona_id: str = ""


class TranscriptPublisher:
    """Publishes the segments of one persona or of people, in order."""

    def __init__(self, room: rtc.Room, emit: Callable[[Event], None]) -> None:
        self._room = room
        self._emit = emit
        self._updates: asyncio.Queue[tuple[Speaker, SegmentUpdate]] = asyncio.Queue()
        self._writer: rtc.TextStreamWriter | None = None  # of a persona's open segment
        self._task = asyncio.create_task(self._run(), name="transcript")

    def publish(self, speaker: Speaker, update: SegmentUpdate) -> None:
        """Publish an update after those before it."""
        self._updates.put_nowait((speaker, update))
        self._emit(
            TranscriptEvent(
                at_s=time.time(),
                persona_id=speaker.persona_id,
                persona=speaker.persona,
                identity=speaker.identity,
                segment_id=update.segment_id,
                text=update.text,
                final=update.is_final,
                start_s=update.start_s,
                end_s=update.end_s,
                words=update.words,
            )
        )

    async def aclose(self) -> None:
        """Publish the queued segments, then stop."""
        if not self._task.done():
            flushed = asyncio.create_task(self._updates.join())
            await asyncio.wait(
                [flushed, self._task], timeout=CLOSE_WITHIN_S, return_when="FIRST_COMPLETED"
            )
            flushed.cancel()
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            speaker, update = await self._updates.get()
            try:
                if speaker.persona:
                    await self._publish_growing_stream(speaker, update)
                else:
                    await self._publish_whole_stream(speaker, update)
                if room_io._legacy_transcription_needed(self._room):  # pyright: ignore[reportPrivateUsage]
                    await self._publish_packet(speaker, update)
                if update.is_final:
                    await self._publish_message(speaker, update)
            except Exception as error:  # livekit raises several kinds; a lost word ends no call
                log.warning("transcript_failed", error=type(error).__name__)
                self._writer = None
            finally:
                self._updates.task_done()

    async def _publish_whole_stream(self, speaker: Speaker, update: SegmentUpdate) -> None:
        writer = await self._room.local_participant.stream_text(
            topic=wire.TRANSCRIPTION_TOPIC,
            attributes=_attributes(speaker, update) | {wire.ATTR_AGO_MS: str(update.ago_ms)},
            sender_identity=speaker.identity,
        )
        await writer.write(update.text)
        await writer.aclose()

    async def _publish_growing_stream(self, speaker: Speaker, update: SegmentUpdate) -> None:
        attributes, added = _attributes(speaker, update), update.added
        if self._writer is None:  # the segment begins, or a write of it has failed
            self._writer = await self._room.local_participant.stream_text(
                topic=wire.TRANSCRIPTION_TOPIC, attributes=attributes
            )
            added = update.text
        if added:
            await self._writer.write(added)
        if update.is_final:
            writer, self._writer = self._writer, None
            await writer.aclose(attributes=attributes)

    async def _publish_packet(self, speaker: Speaker, update: SegmentUpdate) -> None:
        """Publish the whole text so far under a stable id, as livekit-agents' room_io does."""
        segment = rtc.TranscriptionSegment(
            id=update.segment_id,
            text=update.text,
            start_time=int(update.start_s * 1000),
            end_time=int(update.end_s * 1000),
            language="",
            final=update.is_final,
        )
        await self._room.local_participant.publish_transcription(
            rtc.Transcription(
                participant_identity=speaker.identity,
                track_sid=speaker.track_sid,
                segments=[segment],
            )
        )

    async def _publish_message(self, speaker: Speaker, update: SegmentUpdate) -> None:
        message = wire.SegmentMessage(
            id=update.segment_id,
            identity=speaker.identity,
            persona=speaker.persona,
            text=update.text,
            start_s=update.start_s,
            end_s=update.end_s,
            words=update.words,
        )
        await self._room.local_participant.publish_data(
            message.model_dump_json(), topic=wire.SEGMENT_TOPIC
        )


def _attributes(speaker: Speaker, update: SegmentUpdate) -> dict[str, str]:
    return {
        wire.ATTR_SEGMENT_ID: update.segment_id,
        wire.ATTR_SEGMENT_FINAL: "true" if update.is_final else "false",
        wire.ATTR_TRACK_ID: speaker.track_sid,
    }
