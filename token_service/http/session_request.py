"""The bodies of the session endpoints, validated once. Pure.

Text of people is cleaned of control characters and capped; the catalogue decides which personas
there are and an object's other fields go over it.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from protocol.commands import LINE_LIMIT
from protocol.personas import (
    PERSONAS_PER_ROOM,
    Catalogue,
    Persona,
    chosen_personas,
)
from protocol.sampling import Sampling
from protocol.text import Clean
from token_service.http.token_request import Named, fresh_name, not_an_agents

Identity = Annotated[Named, AfterValidator(not_an_agents)]


class AskedPersona(BaseModel):
    """A persona of the catalogue by its name, with other fields, or one of the caller's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    label: str | None = None
    line: str | None = None
    voice: str | None = None
    prompt: str | None = None
    greeting: bool | None = None
    sampling: Sampling | None = None


class PersonasRequest(BaseModel):
    """Personas by name, or as objects."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    personas: tuple[str | AskedPersona, ...] = Field(min_length=1, max_length=PERSONAS_PER_ROOM)

    def chosen(self, catalogue: Catalogue) -> tuple[Persona, ...]:
        """Who is meant. Raises `InvalidInput` naming field, value and choices."""
        return chosen_personas([_fields(each) for each in self.personas], catalogue)


def _fields(asked: str | AskedPersona) -> str | dict[str, Any]:
    return asked if isinstance(asked, str) else asked.model_dump(exclude_none=True)


class SessionRequest(BaseModel):
    """What is to be opened, and for whom. Every field has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    room: Named = Field(default_factory=lambda: fresh_name("room"))
    identity: Identity = Field(default_factory=lambda: fresh_name("person"))
    name: Named = "Guest"
    personas: tuple[str | AskedPersona, ...] = Field(default=(), max_length=PERSONAS_PER_ROOM)
    wait: bool = Field(default=False, description="Wait in line where no place is free.")

    def chosen(self, catalogue: Catalogue, default: str) -> tuple[Persona, ...]:
        """Who is meant. Raises `InvalidInput` naming field, value and choices."""
        return PersonasRequest(personas=self.personas or (default,)).chosen(catalogue)


class SayRequest(BaseModel):
    """A line for one persona, which may be left out where there is only one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LINE_LIMIT), Clean
    ]
    persona_id: str | None = None


class PersonaRequest(BaseModel):
    """Who is meant: everybody where nobody is named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    persona_id: str | None = None


class MuteRequest(PersonaRequest):
    """Who is to be heard no more, or again."""

    muted: bool = True
