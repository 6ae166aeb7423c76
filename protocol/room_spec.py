"""The promise: what a room was promised, and which generation of host may serve it.

The token service alone writes it, into redis; a dispatch carries the promise of that moment under
a seal (`protocol.seal`); where redis has lost everything, the host writes back what it follows.
The host reads it about once a second and makes the room equal to it: personas that are missing
come, others leave, who is `muted` is not heard, and an `ended` room is left. No change of these
needs a new generation: that is for a new host alone. A promise that names a `worker` is dispatched
to that one alone, because the slots are held there. What is to be done once is a command
(`commands.py`). Pure.
"""

import secrets
from collections.abc import Iterable
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from protocol.errors import InvalidInput, explain
from protocol.personas import PERSONAS_PER_ROOM, Persona
from protocol.text import Matching

SPEC_KEY = "moshi:promise:{room}"

Id = Annotated[str, Matching(r"[a-z0-9]{0,32}", "up to 32 lowercase letters and digits")]


def fresh_id() -> str:
    """Give an id that nobody guesses and nobody had."""
    return secrets.token_hex(8)


class PersonaSpec(Persona):
    """One persona of a room, and what is wanted of it now. Its `id` is its own as long as it is."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)

    id: Id = ""  # never empty in a promise
    muted: bool = False


def persona_specs(personas: Iterable[Persona]) -> tuple[PersonaSpec, ...]:
    """Give each persona an id of its own: they are promised to a room from now on."""
    return tuple(PersonaSpec(**dict(each), id=fresh_id()) for each in personas)


class RoomSpec(BaseModel):
    """What a room was promised. `generation` is 0 until the first dispatch and grows with each.

    Personas may be given as `Persona`. Those without an id, as older services write them, get
    the one of their place, so that a promise is never without.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    room: str = Field(min_length=1, max_length=256)
    generation: int = Field(default=0, ge=0)
    personas: tuple[PersonaSpec, ...] = Field(min_length=1, max_length=PERSONAS_PER_ROOM)
    ended: bool = False
    worker: str = ""  # whose slots are held for this generation; empty: whoever has them
    session: Id = ""
    opened_s: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)  # epoch
    ended_s: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    # The token service's own: who opened the session, and for which identity (none: by a token).
    owner: str = ""
    opener: str = ""
    max_people: int = Field(default=0, ge=0)  # at once, by LiveKit; 0: no limit

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

    @classmethod
    def from_metadata(cls, metadata: str) -> "RoomSpec":
        """Read a dispatch's metadata. Raises `InvalidInput`, whose text shows no prompt."""
        try:
            return cls.model_validate_json(metadata)
        except ValidationError as error:
            raise InvalidInput(f"job metadata: {explain(error, hide_values=True)}") from error

    def metadata(self) -> str:
        """Give what a dispatch carries.

        From it the promise is restored where redis has lost everything.
        """
        return self.model_dump_json()


def spec_key(room: str) -> str:
    """Redis key that holds a room's promise as JSON."""
    return SPEC_KEY.format(room=room)
