"""Reports one persona's states and turns to its room and to the event stream. Room's event loop."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog
from livekit import rtc

from protocol import wire
from protocol.events import (
    Event,
    MindSaidEvent,
    SaidEvent,
    StateEvent,
    TurnEvent,
    WarningEvent,
)
from protocol.room_spec import PersonaSpec
from worker.livekit_private.attributes import set_attributes
from worker.metrics import TURN_S
from worker.room.persona.lines import Line
from worker.room.persona.transcript import Speaker, TranscriptPublisher
from worker.room.persona.words import SegmentUpdate

log = structlog.get_logger(__name__)


class PersonaReporter:
    """Sets the attributes of a persona's participant, publishes its messages, emits its events."""

    def __init__(self, spec: PersonaSpec, room: rtc.Room, emit: Callable[[Event], None]) -> None:
        self._spec = spec
        self._participant = room.local_participant
        self._emit = emit
        self._room = room
        self._transcript: TranscriptPublisher | None = None
        self._voice: rtc.LocalTrackPublication | None = None
        self._attributes_lock = asyncio.Lock()  # keeps the order of changes

    def start_transcript(self, voice: rtc.LocalTrackPublication) -> None:
        """Publish words from now on, as those of the persona's voice."""
        self._voice = voice
        self._transcript = TranscriptPublisher(self._room, self._emit)

    async def aclose(self) -> None:
        """Publish the words that wait, then stop."""
        if self._transcript is not None:
            await self._transcript.aclose()

    async def report_state(self, state: wire.AgentState) -> None:
        """Report that the persona listens or speaks."""
        self._emit(StateEvent(**self._common_fields(), state=state))
        await self._set_attribute(wire.ATTR_AGENT_STATE, state)

    async def report_taken_over(self) -> None:
        """Report that this participant is the persona now, and listens."""
        self._emit(StateEvent(**self._common_fields(), state="listening"))
        async with self._attributes_lock:
            changes = {wire.ATTR_ON_BEHALF: "", wire.ATTR_HANDOVER: ""}
            await set_attributes(self._room, changes | {wire.ATTR_AGENT_STATE: "listening"})

    async def report_floor(self, has_floor: bool) -> None:
        """Report that the persona got or lost the floor."""
        await self._set_attribute(wire.ATTR_FLOOR, "true" if has_floor else "")

    async def report_turn(self, latency_s: float) -> None:
        """Report that the persona has answered."""
        TURN_S.observe(latency_s)
        message = wire.TurnMessage(
            identity=self._participant.identity,
            persona=self._spec.name,
            latency_ms=round(latency_s * 1000),
        )
        log.info("turn", identity=message.identity, latency_ms=message.latency_ms)
        self._emit(TurnEvent(**self._common_fields(), latency_ms=message.latency_ms))
        await self._participant.publish_data(message.model_dump_json(), topic=wire.TURN_TOPIC)

    def report_words(self, update: SegmentUpdate) -> None:
        """Report words that the persona says."""
        if self._transcript is not None and self._voice is not None:
            identity, sid = self._participant.identity, self._voice.sid  # which may have changed
            self._transcript.publish(Speaker(identity, sid, self._spec.name, self._spec.id), update)

    def report_line_ended(self, line: Line, was_whole: bool) -> None:
        """Report the end of a line that the persona was to say."""
        if line.is_minds:
            self._emit(
                MindSaidEvent(
                    **self._common_fields(), line_id=line.id, text=line.text, whole=was_whole
                )
            )
        else:
            self._emit(SaidEvent(**self._common_fields(), line_id=line.id, whole=was_whole))

    def warn(self, code: str, detail: str) -> None:
        """Report that something is wrong."""
        self._emit(WarningEvent(**self._common_fields(), code=code, detail=detail))

    def _common_fields(self) -> dict[str, Any]:
        return {
            "at_s": time.time(),
            "persona_id": self._spec.id,
            "persona": self._spec.name,
            "identity": self._participant.identity,
        }

    async def _set_attribute(self, name: str, value: str) -> None:
        async with self._attributes_lock:
            await set_attributes(self._room, {name: value})
