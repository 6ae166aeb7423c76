"""Names that clients see: topics, attributes, identities, and JSON messages. Pure.

A name of LiveKit's is used wherever one exists, so that every LiveKit client works unmodified.
"""

import uuid
from typing import Literal

from pydantic import BaseModel, ConfigDict

# LiveKit's own (livekit-agents 1.8.9 types.py).
TRANSCRIPTION_TOPIC = "lk.transcription"
CHAT_TOPIC = "lk.chat"
EARLY_SOUND_TOPIC = "lk.agent.pre-connect-audio-buffer"
ATTR_SEGMENT_ID = "lk.segment_id"
ATTR_SEGMENT_FINAL = "lk.transcription_final"
ATTR_TRACK_ID = "lk.transcribed_track_id"
ATTR_AGENT_STATE = "lk.agent.state"
ATTR_ON_BEHALF = "lk.publish_on_behalf"

# Ours, where LiveKit has none.
AGENT_NAME = "moshi"  # by which clients ask for personas
AGENT_IDENTITY_PREFIX = "agent-"
ATTR_PERSONA = "persona"
ATTR_PERSONA_ID = "persona_id"  # of the room spec
ATTR_VOICE = "voice"
ATTR_TOKEN_ID = "token_id"  # by which a person's token can be revoked
# On a person that a worker joins for (`/sessions/{id}/audio`): "stays", and where it is no longer
# wanted, until when it may leave by itself, in seconds since 1970.
ATTR_WEBSOCKET = "websocket"
STAYS = "stays"
ATTR_MODEL = "model"
ATTR_GENERATION = "generation"
ATTR_AGO_MS = "ago_ms"  # on a stream of a person's words: since the person began to say them
ATTR_FLOOR = "floor"  # "true" on the persona that has it, in rooms with several
# On hosts while a room moves: "ready" where one stands by, then "over …" where one has stopped,
# with the id of the persona that had the floor.
ATTR_HANDOVER = "handover"
ATTR_RECORDING = "recording"  # "true" on the first persona while its host records the room
ATTR_RECORD_CONSENT = "record_consent"  # "true" on a person who has agreed; tokens may set it
# A request for a token cannot set these.
OWN_ATTRIBUTES = frozenset(
    {
        ATTR_PERSONA,
        ATTR_PERSONA_ID,
        ATTR_VOICE,
        ATTR_TOKEN_ID,
        ATTR_WEBSOCKET,
        ATTR_MODEL,
        ATTR_GENERATION,
        ATTR_FLOOR,
        ATTR_HANDOVER,
        ATTR_RECORDING,
    }
)
SEGMENT_TOPIC = "transcription"
TURN_TOPIC = "turn"
MIND_TOPIC = "mind"  # of events of a mind, in the JSON of `protocol.events`

Consent = Literal["ask", "told"]  # must people agree before they are recorded?
AgentState = Literal["initializing", "listening", "speaking"]


def agent_name(worker_id: str) -> str:
    """Return the name by which a dispatch addresses one worker."""
    return f"{AGENT_NAME}-{worker_id}"


def persona_identity(name: str, persona_id: str, unique: str) -> str:
    """Return the identity of a persona's participant; `unique` differs at each join."""
    return f"{AGENT_IDENTITY_PREFIX}{name}-{persona_id}-{unique}"


def new_segment_id() -> str:
    """Return the id of a new segment of words, as LiveKit's agents write them."""
    return f"SG_{uuid.uuid4().hex[:12]}"


class WordTime(BaseModel):
    """One word of a person, in the times of its segment."""

    model_config = ConfigDict(frozen=True)

    text: str
    start_s: float
    end_s: float


class SegmentMessage(BaseModel):
    """A final segment of words: one JSON data message on `SEGMENT_TOPIC`.

    Worker → every participant. `persona` is empty for a person. Times are seconds since the
    persona's slot went live, or, for people, since the room got its host, in frame time.
    """

    model_config = ConfigDict(frozen=True)

    type: Literal["segment"] = "segment"
    id: str
    identity: str
    persona: str
    text: str
    start_s: float
    end_s: float
    words: tuple[WordTime, ...] = ()  # of a person, where the recogniser tells their times


class TurnMessage(BaseModel):
    """One answered turn: one JSON data message on `TURN_TOPIC`.

    Worker → every participant. `latency_ms` runs from the end of the person's speech
    to the persona's first voiced frame.
    """

    model_config = ConfigDict(frozen=True)

    type: Literal["turn"] = "turn"
    identity: str
    persona: str
    latency_ms: int


class ReadyMessage(BaseModel):
    """A WebSocket client is in its room, which is recorded or not (None)."""

    model_config = ConfigDict(frozen=True)

    type: Literal["ready"] = "ready"
    room: str
    identity: str
    format: str
    sample_rate_hz: int
    recording: Consent | None


class ErrorMessage(BaseModel):
    """A WebSocket client is about to be disconnected: `code` for programs, `detail` for people."""

    model_config = ConfigDict(frozen=True)

    type: Literal["error"] = "error"
    code: str
    detail: str
