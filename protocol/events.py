"""What happens in a room, as a stream in redis: the host adds, the token service adds and reads.

One entry of the stream `events_key(room)` is one event: its JSON in the field `EVENT_FIELD`. Who
adds one trims the stream to about `EVENTS_KEPT` and lets it live for `EVENTS_TTL_S` from then on.
Applications get the same JSON as server-sent events, under the entry's id. Pure.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from protocol.wire import AgentState

EVENTS_KEY = "moshi:events:{room}"
EVENT_FIELD = "event"
EVENTS_KEPT = 500
EVENTS_TTL_S = 3600


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    at_s: float = Field(ge=0.0)  # seconds of the epoch


class _PersonaEvent(_Event):
    persona_id: str
    persona: str  # its name
    identity: str


class StateEvent(_PersonaEvent):
    """A persona begins to do something else. Host."""

    type: Literal["state"] = "state"
    state: AgentState


class TranscriptEvent(_Event):
    """Words of a speaker; a person has no `persona_id` and no `persona`. Host.

    Not final: the segment's text so far. `start_s`, `end_s`: seconds since the slot went live.
    """

    type: Literal["transcript"] = "transcript"
    persona_id: str = ""
    persona: str = ""
    identity: str
    segment_id: str
    text: str
    final: bool
    start_s: float
    end_s: float


class TurnEvent(_PersonaEvent):
    """A persona answered, so long after the person's last sound. Host."""

    type: Literal["turn"] = "turn"
    latency_ms: int


class SaidEvent(_PersonaEvent):
    """A line that a persona was told to say has ended; `whole`: all of it was said. Host.

    A line whose host was lost has no such event before the next `dispatched`: it was not said.
    """

    type: Literal["said"] = "said"
    line_id: str
    whole: bool


class FloorEvent(_Event):
    """The floor changes hands; nobody has it where the persona is empty. Host."""

    type: Literal["floor"] = "floor"
    persona_id: str = ""
    persona: str = ""
    identity: str = ""
    reason: str = ""


class WarningEvent(_Event):
    """Something is not as it should be: a code for programs, a sentence for people. Both sides."""

    type: Literal["warning"] = "warning"
    code: str
    detail: str
    persona_id: str = ""
    identity: str = ""


class PeopleEvent(_Event):
    """A person came or left; `people` are there now. Host."""

    type: Literal["people"] = "people"
    identity: str
    change: Literal["joined", "left"]
    people: int = Field(ge=0)


class DispatchedEvent(_Event):
    """A host was asked for. Token service."""

    type: Literal["dispatched"] = "dispatched"
    generation: int
    personas: int


class WaitingEvent(_Event):
    """The room waits, and why. Token service."""

    type: Literal["waiting"] = "waiting"
    code: str
    detail: str


class ChangedEvent(_Event):
    """The promise was changed: what the room is to be now. Token service."""

    type: Literal["changed"] = "changed"
    change: Literal["added", "removed", "muted", "unmuted", "forget", "say"]
    persona_id: str


class EndedEvent(_Event):
    """The session is over; no event follows. Token service."""

    type: Literal["ended"] = "ended"
    reason: str


Event = Annotated[
    StateEvent
    | TranscriptEvent
    | TurnEvent
    | SaidEvent
    | FloorEvent
    | WarningEvent
    | PeopleEvent
    | DispatchedEvent
    | WaitingEvent
    | ChangedEvent
    | EndedEvent,
    Field(discriminator="type"),
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def events_key(room: str) -> str:
    """Redis key of a room's stream of events."""
    return EVENTS_KEY.format(room=room)


def read_event(text: str | bytes) -> Event:
    """Read one event's JSON. Raises `ValidationError`, also for a type not yet known here."""
    return EVENT.validate_json(text)
