"""The room spec: the personas of a room, and which generation of host may serve it.

The token service alone writes it, into redis; a dispatch carries a sealed copy of that moment
(`protocol.seal`); where redis has lost everything, the host writes back the spec that it follows.
The host reads it about once a second and makes the room equal to it: missing personas join, others
leave, `muted` personas are silent, and an `ended` room is left. Such a change needs no new
generation: that is for a new host alone. A spec is dispatched to its `worker` alone, because the
slots are reserved there. While a room moves, its spec names the worker on which the next host
stands by; until that one takes over, the room's host goes on. What happens once is a command
(`commands.py`).
"""

import secrets
from collections.abc import Iterable
from typing import Annotated

import structlog
from pydantic import ConfigDict, Field, ValidationError, field_validator

from protocol.errors import InvalidInput, explain
from protocol.personas import PERSONAS_PER_ROOM, Persona
from protocol.records.stored import Stored
from protocol.sampling import StoredSampling
from protocol.text import Matching

log = structlog.stdlib.get_logger(__name__)

Id = Annotated[str, Matching(r"[a-z0-9]{0,32}", "up to 32 lowercase letters and digits")]

TraceParent = Annotated[str, Matching(r"|[0-9a-f-]{55}", "a W3C traceparent")]


def fresh_id() -> str:
    return secrets.token_hex(8)


class PersonaSpec(Persona):
    """One persona of a room. Its `id` stays the same over changes and hosts."""

    model_config = ConfigDict(extra="allow", from_attributes=True)

    sampling: StoredSampling = StoredSampling()  # type: ignore[assignment]  # frozen
    id: Id = ""  # never empty in a spec
    muted: bool = False


def persona_specs(personas: Iterable[Persona]) -> tuple[PersonaSpec, ...]:
    """Return the personas, each with a new id."""
    return tuple(PersonaSpec(**dict(each), id=fresh_id()) for each in personas)


class RoomSpec(Stored):
    """The state that a room is to have. `generation` is 0 until the first dispatch.

    Personas may be given as `Persona`. Those without an id get that of their index.
    """

    room: str = Field(min_length=1, max_length=256)
    generation: int = Field(default=0, ge=0)
    personas: tuple[PersonaSpec, ...] = Field(min_length=1, max_length=PERSONAS_PER_ROOM)
    ended: bool = False
    worker: str = ""  # its slots are reserved for this generation; empty: none yet
    standby: str = ""  # the worker on which the host of generation `dispatched` stands by
    dispatched: int = Field(default=0, ge=0)  # the latest generation of a host that stood by
    session: Id = ""
    opened_s: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)  # epoch
    ended_s: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    # For the token service: the caller that opened it, and for which identity (none: by a token).
    owner: str = ""
    opener: str = ""
    transcribe: bool = True  # people's words are written, where the worker can
    record: bool = False  # sound and words are stored
    # For the token service: when its last guest link ends, epoch.
    invited_until_s: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    max_people: int = Field(default=0, ge=0)  # at once, by LiveKit; 0: no limit
    trace: TraceParent = ""  # of the request that the room was opened by

    @field_validator("personas")
    @classmethod
    def _each_has_an_id(cls, personas: tuple[PersonaSpec, ...]) -> tuple[PersonaSpec, ...]:
        named = tuple(
            each if each.id else each.model_copy(update={"id": f"p{place}"})
            for place, each in enumerate(personas)
        )
        if len({each.id for each in named}) < len(named):
            raise ValueError("expected an id of its own for each persona")
        return named

    @property
    def newest(self) -> int:
        """The latest generation that was dispatched."""
        return max(self.generation, self.dispatched)

    def moving_to(self, worker: str) -> "RoomSpec":
        """Return the spec while its next host stands by on a worker."""
        return self.model_copy(update={"standby": worker, "dispatched": self.newest + 1})

    def moved(self) -> "RoomSpec":
        """Return the spec once the host that stood by has taken over."""
        changes = {"generation": self.dispatched, "worker": self.standby, "standby": ""}
        return self.model_copy(update=changes)

    @classmethod
    def from_metadata(cls, metadata: str) -> "RoomSpec":
        """Read a dispatch's metadata. Raises `InvalidInput`, whose text shows no prompt."""
        try:
            return cls.model_validate_json(metadata)
        except ValidationError as error:
            raise InvalidInput(f"job metadata: {explain(error, hide_values=True)}") from error

    def metadata(self) -> str:
        """Return the spec as a dispatch carries it."""
        return self.model_dump_json()


def spec_key(room: str) -> str:
    return f"moshi:promise:{room}"


def read_spec(text: str | None) -> RoomSpec | None:
    """Return a spec as redis has it; None where there is none, or one that cannot be read."""
    if text is None:
        return None
    try:
        return RoomSpec.from_metadata(text)
    except InvalidInput:
        log.warning("spec_unreadable")
        return None
