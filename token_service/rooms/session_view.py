"""A session as it is told: its state, its personas and people, how quickly they answer. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from livekit import api
from pydantic import BaseModel

from protocol import wire
from protocol.events import TurnEvent
from protocol.room_spec import PersonaSpec, RoomSpec
from token_service.errors import Unavailable
from token_service.fleet.reader import Fleet
from token_service.rooms.livekit import is_present

SessionState = Literal["open", "waiting", "starting", "live", "ended"]
PersonaState = Literal["absent", "initializing", "listening", "speaking"]


class Why(BaseModel):
    """The reason that a room waits: a code, a sentence, and the position in the line."""

    code: str
    detail: str
    position: int


class PersonaView(BaseModel):
    """One persona and its state, without its prompt."""

    id: str
    name: str
    label: str
    voice: str
    state: PersonaState
    identity: str | None
    muted: bool


class PersonView(BaseModel):
    """One person in the room."""

    identity: str
    name: str
    joined_at_s: float


class TurnFigures(BaseModel):
    """The response times of the personas in the stored turns."""

    count: int
    last_ms: int | None = None
    median_ms: int | None = None


class SessionSummary(BaseModel):
    """A session in a list. Times are seconds of the epoch."""

    id: str
    room: str
    state: SessionState
    waiting: Why | None
    opened_at_s: float
    age_s: float
    personas: list[str]


class SessionView(BaseModel):
    """A session. `open`: no person has joined yet; `starting`: its host was dispatched.

    `people_known` is false if `people` may be incomplete: LiveKit's own redis lost its memory.
    """

    id: str
    room: str
    state: SessionState
    waiting: Why | None
    opened_at_s: float
    age_s: float
    generation: int
    personas: list[PersonaView]
    people: list[PersonView]
    people_known: bool
    turns: TurnFigures


@dataclass(frozen=True, slots=True)
class SessionSurroundings:
    """What is known about a session's room beside its promise."""

    fleet: Fleet
    awaited: bool
    occupied: bool  # somebody is there
    position: int


def state_of(spec: RoomSpec, around: SessionSurroundings) -> tuple[SessionState, Why | None]:
    """What the session does now, and why it waits where it does."""
    if spec.ended:
        return "ended", None
    if around.fleet.hosts(spec):
        return "live", None
    if around.awaited:
        return "starting", None
    obstacle = around.fleet.obstacle(len(spec.personas))
    if spec.room in around.fleet.placed or (obstacle is None and around.position == 1):
        return ("starting" if around.occupied else "open"), None
    return "waiting", _why(obstacle, around.position)


def _why(obstacle: Unavailable | None, position: int) -> Why:
    if obstacle is None:
        return Why(code="in_line", detail="Others came first.", position=position)
    return Why(code=obstacle.code, detail=str(obstacle), position=position)


def persona_view(persona: PersonaSpec, inside: Iterable[api.ParticipantInfo]) -> PersonaView:
    """One persona with what its participant tells, if it is there."""
    there = next((one for one in inside if is_persona(one, persona)), None)
    state = there.attributes.get(wire.ATTR_AGENT_STATE, "initializing") if there else "absent"
    known: dict[str, PersonaState] = {
        "initializing": "initializing",
        "listening": "listening",
        "speaking": "speaking",
    }
    return PersonaView(
        id=persona.id,
        name=persona.name,
        label=persona.label,
        voice=persona.voice,
        state=known.get(state, "initializing") if there else "absent",
        identity=there.identity if there else None,
        muted=persona.muted,
    )


def is_persona(participant: api.ParticipantInfo, persona: PersonaSpec) -> bool:
    """Whether this participant is that persona. People's attributes are never believed."""
    return (
        participant.kind == api.ParticipantInfo.Kind.AGENT
        and participant.attributes.get(wire.ATTR_PERSONA_ID) == persona.id
    )


def person_views(inside: Iterable[api.ParticipantInfo]) -> list[PersonView]:
    """The people, first come first."""
    people = sorted((one for one in inside if is_present(one)), key=lambda one: one.joined_at_ms)
    return [
        PersonView(identity=one.identity, name=one.name, joined_at_s=one.joined_at_ms / 1000)
        for one in people
    ]


def turn_figures(turns: Sequence[TurnEvent]) -> TurnFigures:
    """The figures of the turns that are still remembered."""
    if not turns:
        return TurnFigures(count=0)
    middle = round(median(turn.latency_ms for turn in turns))
    return TurnFigures(count=len(turns), last_ms=turns[-1].latency_ms, median_ms=middle)
