"""A session as HTTP answers it: its state, personas and people, how quickly they answer. Pure."""

import time
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, Literal

from livekit import api
from pydantic import BaseModel

from protocol import wire
from protocol.events import TurnEvent
from protocol.room_spec import PersonaSpec, RoomSpec
from token_service.fleet.fleet import Fleet
from token_service.refusals import Unavailable
from token_service.rooms.livekit import is_present

SessionState = Literal["open", "waiting", "starting", "live", "ended"]
PersonaState = Literal["absent", "initializing", "listening", "speaking"]


class Why(BaseModel):
    """The reason that a room waits: a code, a sentence, and the position in the queue."""

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


class _Session(BaseModel):
    id: str
    room: str
    state: SessionState
    waiting: Why | None
    opened_at_s: float
    age_s: float


class SessionSummary(_Session):
    """A session in a list. Times are seconds of the epoch."""

    personas: list[str]


class SessionView(_Session):
    """A session. `open`: no person has joined yet; `starting`: its host was dispatched.

    `people_known` is false if `people` may be incomplete: LiveKit's own redis lost its memory.
    """

    generation: int
    personas: list[PersonaView]
    people: list[PersonView]
    people_known: bool
    recorded: bool
    turns: TurnFigures


def basics_of(spec: RoomSpec, fleet: Fleet, *, is_occupied: bool) -> dict[str, Any]:
    """Return the fields that a summary and a view share."""
    state, waiting = state_of(spec, fleet, is_occupied=is_occupied)
    age_s = round((spec.ended_s or time.time()) - spec.opened_s, 3)
    return {
        "id": spec.session,
        "room": spec.room,
        "state": state,
        "waiting": waiting,
        "opened_at_s": spec.opened_s,
        "age_s": age_s,
    }


def state_of(spec: RoomSpec, fleet: Fleet, *, is_occupied: bool) -> tuple[SessionState, Why | None]:
    """Return the session's state, and why it waits where it does."""
    if spec.ended:
        return "ended", None
    if fleet.hosts(spec):
        return "live", None
    if fleet.is_awaited(spec):
        return "starting", None
    obstacle = fleet.obstacle(len(spec.personas))
    position = fleet.schedule.position(spec.room, spec.opened_s)
    if fleet.schedule.is_reserved(spec.room) or (obstacle is None and position == 1):
        return ("starting" if is_occupied else "open"), None
    return "waiting", _why(obstacle, position)


def _why(obstacle: Unavailable | None, position: int) -> Why:
    if obstacle is None:
        return Why(code="in_line", detail="Others came first.", position=position)
    return Why(code=obstacle.code, detail=str(obstacle), position=position)


def persona_view(persona: PersonaSpec, inside: Iterable[api.ParticipantInfo]) -> PersonaView:
    """Return a persona with the state of its participant, if that is in the room."""
    there = next((one for one in inside if is_persona(one, persona)), None)
    return PersonaView(
        id=persona.id,
        name=persona.name,
        label=persona.label,
        voice=persona.voice,
        state=_persona_state(there) if there else "absent",
        identity=there.identity if there else None,
        muted=persona.muted,
    )


def _persona_state(participant: api.ParticipantInfo) -> PersonaState:
    match participant.attributes.get(wire.ATTR_AGENT_STATE):
        case "listening" | "speaking" as state:
            return state
        case _:
            return "initializing"


def is_persona(participant: api.ParticipantInfo, persona: PersonaSpec) -> bool:
    """Return whether a participant is this persona, and does not stand by to become it."""
    return (
        participant.kind == api.ParticipantInfo.Kind.AGENT
        and wire.ATTR_ON_BEHALF not in participant.attributes
        and participant.attributes.get(wire.ATTR_PERSONA_ID) == persona.id
    )


def person_views(inside: Iterable[api.ParticipantInfo]) -> list[PersonView]:
    """Return the people in the order in which they joined."""
    people = sorted((one for one in inside if is_present(one)), key=lambda one: one.joined_at_ms)
    return [
        PersonView(identity=one.identity, name=one.name, joined_at_s=one.joined_at_ms / 1000)
        for one in people
    ]


def turn_figures(turns: Sequence[TurnEvent]) -> TurnFigures:
    """Return the figures of the turns that the events still hold."""
    if not turns:
        return TurnFigures(count=0)
    middle = round(median(turn.latency_ms for turn in turns))
    return TurnFigures(count=len(turns), last_ms=turns[-1].latency_ms, median_ms=middle)
