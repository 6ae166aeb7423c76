"""The bodies of the session endpoints. Pure.

Text is cleaned of control characters and capped. A persona names one of the catalogue; its other
fields replace the catalogue's.
"""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from protocol.commands import LINE_LIMIT
from protocol.personas import PERSONAS_PER_ROOM, Catalogue, Greeting, Persona
from protocol.sampling import Sampling
from protocol.text import Clean
from token_service.http.token_request import RECORD, TRANSCRIBE, Named, fresh_name, not_an_agents
from token_service.rooms.persona_request import chosen_personas

Identity = Annotated[Named, AfterValidator(not_an_agents)]


class Body(BaseModel):
    """A request's body; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def examples(*bodies: dict[str, Any]) -> ConfigDict:
    """Return a model's configuration with examples for the OpenAPI document."""
    return ConfigDict(json_schema_extra={"examples": list(bodies)})


class AskedPersona(Body):
    """A persona of the catalogue by its name, with other fields, or one of the caller's own."""

    model_config = examples({"name": "chef", "voice": "NATF2"})

    name: str
    label: str | None = None
    line: str | None = None
    voice: str | None = None
    prompt: str | None = None
    greeting: Greeting | None = None
    sampling: Sampling | None = None
    mind: str | None = Field(
        default=None, description="The name of a mind that a persona's file defines; empty: none."
    )


def _named(asked: object) -> object:
    """Read a bare name as a persona's; one sentence tells what else may stand there."""
    if isinstance(asked, str):
        return {"name": asked}
    if not isinstance(asked, dict | AskedPersona):
        raise ValueError("expected a name, or an object with a name")
    return asked


Asked = Annotated[AskedPersona, BeforeValidator(_named, json_schema_input_type=str | AskedPersona)]


class PersonasRequest(Body):
    """Personas, by name or as objects."""

    model_config = examples({"personas": ["teacher"]})

    personas: tuple[Asked, ...] = Field(min_length=1, max_length=PERSONAS_PER_ROOM)

    def chosen(self, catalogue: Catalogue) -> tuple[Persona, ...]:
        """Return the personas. Raises `InvalidInput` that names field, value and choices."""
        asked = [each.model_dump(exclude_none=True) for each in self.personas]
        return chosen_personas(asked, catalogue)


class SessionRequest(Body):
    """A new session: its room, first participant and personas. Every field has a default."""

    model_config = examples(
        {"room": "kitchen", "name": "Ann", "personas": ["chef"], "wait": True},
        {"personas": [{"name": "guide", "prompt": "You are a guide in a museum."}]},
    )

    room: Named = Field(default_factory=lambda: fresh_name("room"))
    identity: Identity = Field(default_factory=lambda: fresh_name("person"))
    name: Named = "Guest"
    personas: tuple[Asked, ...] = Field(default=(), max_length=PERSONAS_PER_ROOM)
    wait: bool = Field(default=False, strict=True, description="Wait in line if no slots are free.")
    max_people: int | None = Field(
        default=None,
        ge=1,
        le=100,
        strict=True,
        description="How many people may be in the room at once; LiveKit refuses more.",
    )

    transcribe: bool = Field(default=True, strict=True, description=TRANSCRIBE)
    record: bool = Field(default=False, strict=True, description=RECORD)
    record_consent: bool = Field(
        default=False,
        strict=True,
        description="Whether the first participant has agreed to be recorded.",
    )

    def chosen(self, catalogue: Catalogue, default: str) -> tuple[Persona, ...]:
        """Return the personas. Raises `InvalidInput` that names field, value and choices."""
        asked = self.personas or (AskedPersona(name=default),)
        return PersonasRequest(personas=asked).chosen(catalogue)


class SayRequest(Body):
    """A line for one persona; `persona_id` may be omitted if there is only one."""

    model_config = examples({"text": "Dinner is ready."})

    text: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LINE_LIMIT), Clean
    ]
    persona_id: str | None = None


class RatingRequest(Body):
    """How a session went, from 1 (badly) to 5 (very well)."""

    model_config = examples({"rating": 4})

    rating: int = Field(ge=1, le=5, strict=True)


class PersonaRequest(Body):
    """One persona, or all if `persona_id` is omitted."""

    model_config = examples({})

    persona_id: str | None = None


class MuteRequest(PersonaRequest):
    """One persona, or all, to mute or unmute."""

    model_config = examples({"muted": True})

    muted: bool = Field(default=True, strict=True)
