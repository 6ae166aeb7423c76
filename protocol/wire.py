"""The names on the wire. LiveKit's own wherever one exists: every LiveKit client works unmodified.

Pure: constants, identities, and the two JSON messages that clients may read beside LiveKit's own
text streams.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

# LiveKit's own (livekit-agents 1.8.9 types.py).
TRANSCRIPTION_TOPIC = "lk.transcription"
CHAT_TOPIC = "lk.chat"
ATTR_SEGMENT_ID = "lk.segment_id"
ATTR_SEGMENT_FINAL = "lk.transcription_final"
ATTR_TRACK_ID = "lk.transcribed_track_id"
ATTR_AGENT_STATE = "lk.agent.state"
ATTR_ON_BEHALF = "lk.publish_on_behalf"

# Ours, where LiveKit has none.
AGENT_NAME = "moshi"  # by which clients ask for us
AGENT_IDENTITY_PREFIX = "agent-"
ATTR_PERSONA = "persona"
ATTR_PERSONA_ID = "persona_id"  # which of the promise's personas a participant is
ATTR_VOICE = "voice"
ATTR_TOKEN_ID = "token_id"  # by which a person's token can be revoked
ATTR_MODEL = "model"
ATTR_GENERATION = "generation"
ATTR_FLOOR = "floor"  # "true" on the persona that has it, in rooms with several
# What only we say of a participant: whoever asks for a token has none of them.
OWN_ATTRIBUTES = frozenset(
    {
        ATTR_PERSONA,
        ATTR_PERSONA_ID,
        ATTR_VOICE,
        ATTR_TOKEN_ID,
        ATTR_MODEL,
        ATTR_GENERATION,
        ATTR_FLOOR,
    }
)
SEGMENT_TOPIC = "transcription"
TURN_TOPIC = "turn"

AgentState = Literal["initializing", "listening", "speaking"]


def agent_name(worker_id: str) -> str:
    """Name by which LiveKit knows one worker: a dispatch is for the worker that it names."""
    return f"{AGENT_NAME}-{worker_id}"


def persona_identity(name: str, persona_id: str, unique: str) -> str:
    """Identity of a persona's participant; `unique` is the host's own: none is used twice."""
    return f"{AGENT_IDENTITY_PREFIX}{name}-{persona_id}-{unique}"


class SegmentMessage(BaseModel):
    """A final segment of a persona's words: one JSON data message on `SEGMENT_TOPIC`.

    Worker → every participant. Times are seconds since the persona's slot went live, in frame time.
    """

    model_config = ConfigDict(frozen=True)

    type: Literal["segment"] = "segment"
    id: str
    identity: str
    persona: str
    text: str
    start_s: float
    end_s: float


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
