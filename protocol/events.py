"""The events of a room, as a stream in redis. Pure.

One entry of the stream `events_key(room)` has one event as JSON in the field `EVENT_FIELD`. Each
writer trims the stream to about `EVENTS_KEPT` and renews its `EVENTS_TTL_S`. Applications get the
same JSON as server-sent events under the entry's id. The host of a room and the token service both
write; each class names its writer.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from protocol.wire import AgentState, WordTime

EVENT_FIELD = "event"
EVENTS_KEPT = 500
EVENTS_TTL_S = 3600
PersonaChange = Literal["added", "removed", "muted", "unmuted", "forget", "say"]
AFTER_ENDED_S = 5.0  # in which the host of an ended session writes words that came late


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    at_s: float = Field(ge=0.0)  # seconds of the epoch


class _PersonaEvent(_Event):
    persona_id: str
    persona: str  # its name
    identity: str


class StateEvent(_PersonaEvent):
    """A persona listens or speaks from now on. Host."""

    type: Literal["state"] = "state"
    state: AgentState


class TranscriptEvent(_Event):
    """The text so far of a segment that a persona or a person says, or a person has `typed`. Host.

    A person has no `persona_id` and no `persona`. `start_s`, `end_s`: seconds since the persona's
    slot went live, or, for people, since the room got its host, equal until the segment is `final`;
    0 for a typed line. `words`: those of a person, where their times are known.
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
    typed: bool = False
    words: tuple[WordTime, ...] = ()


class TurnEvent(_PersonaEvent):
    """A persona has answered, `latency_ms` after the end of a person's speech. Host."""

    type: Literal["turn"] = "turn"
    latency_ms: int


class SaidEvent(_PersonaEvent):
    """A line of a `say` command has ended; `whole`: all of it was said. Host.

    If the host is lost, its lines have no such event before the next `dispatched`; they were not
    said.
    """

    type: Literal["said"] = "said"
    line_id: str
    whole: bool


class ToolStartedEvent(_PersonaEvent):
    """The mind of a persona has called a function. Host."""

    type: Literal["tool_started"] = "tool_started"
    call_id: str
    tool: str


class ToolEndedEvent(_PersonaEvent):
    """That call is over: it gave a result (`ok`) or did not. Host."""

    type: Literal["tool_ended"] = "tool_ended"
    call_id: str
    tool: str
    took_ms: int
    ok: bool


class MindSaidEvent(_PersonaEvent):
    """A sentence that a persona's mind gave has ended; `whole`: all of it was said. Host.

    A sentence that is withdrawn before it begins, as a person speaks, has no such event.
    """

    type: Literal["mind_said"] = "mind_said"
    line_id: str
    text: str
    whole: bool


class FloorEvent(_Event):
    """A persona got the floor, or, if `persona` is empty, lost it. Host."""

    type: Literal["floor"] = "floor"
    persona_id: str = ""
    persona: str = ""
    identity: str = ""
    reason: str = ""


class RecordingEvent(_Event):
    """The recording of the room has begun or ended; `detail`: why it ended too early. Host."""

    type: Literal["recording"] = "recording"
    change: Literal["started", "ended"]
    part: str  # of the session's recording: each host writes one
    detail: str = ""


class WarningEvent(_Event):
    """Something is wrong: `code` for programs, `detail` for people. Host and token service."""

    type: Literal["warning"] = "warning"
    code: str
    detail: str
    persona_id: str = ""
    identity: str = ""


class PeopleEvent(_Event):
    """A person joined or left; `people` are in the room now. Host.

    A host that comes tells of each person who is there; of one that replaces a lost host, that may
    have been told before.
    """

    type: Literal["people"] = "people"
    identity: str
    change: Literal["joined", "left"]
    people: int = Field(ge=0)


class DispatchedEvent(_Event):
    """A host was dispatched. Token service."""

    type: Literal["dispatched"] = "dispatched"
    generation: int
    personas: int


class WaitingEvent(_Event):
    """The room waits for a host, for the reason given. Token service."""

    type: Literal["waiting"] = "waiting"
    code: str
    detail: str


class ChangedEvent(_Event):
    """The room spec was changed, or a command was taken. Token service."""

    type: Literal["changed"] = "changed"
    change: PersonaChange
    persona_id: str


class EndedEvent(_Event):
    """The session has ended. Token service.

    Stored before the last words, which come late, and before `rated`; followers get it last.
    """

    type: Literal["ended"] = "ended"
    reason: str


class RatedEvent(_Event):
    """A person told how the session went, from 1 (badly) to 5 (very well). Token service."""

    type: Literal["rated"] = "rated"
    rating: int = Field(ge=1, le=5)


Event = Annotated[
    StateEvent
    | TranscriptEvent
    | TurnEvent
    | SaidEvent
    | ToolStartedEvent
    | ToolEndedEvent
    | MindSaidEvent
    | FloorEvent
    | RecordingEvent
    | WarningEvent
    | PeopleEvent
    | DispatchedEvent
    | WaitingEvent
    | ChangedEvent
    | EndedEvent
    | RatedEvent,
    Field(discriminator="type"),
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def events_key(room: str) -> str:
    return f"moshi:events:{room}"


def read_event(text: str | bytes) -> Event:
    """Read one event's JSON. Raises `ValidationError`, also for an unknown type."""
    return EVENT.validate_json(text)
