"""The body of LiveKit's standard token endpoint. Pure.

Field names and defaults: livekit_token_source.proto. Every field is optional; missing and empty
fields get the default stated here. Unknown fields change nothing, so that newer SDKs work; the
answer names those at the top level. Only the personas are read from `room_config`.
"""

import secrets
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from protocol import wire
from protocol.errors import InvalidInput, explain
from protocol.personas import PERSONAS_PER_ROOM, Catalogue, Persona
from protocol.text import Matching
from token_service.auth.grants import Participant
from token_service.rooms.persona_request import personas_asked_for

NAME_BYTES = 256  # LiveKit's own limit for rooms and identities (livekit-server 1.13.5 config.go)
METADATA_BYTES = 4096
ATTRIBUTES_BYTES = 4096
NAMED_FIELDS = 8  # of the unknown ones
NAMED_CHARACTERS = 80
RECORD = "Whether sound and words are stored; needs the scope `record`. As `transcribe`."
RECORDING = (
    "Whether the room is recorded: `ask`, people with the attribute `record_consent` of `true`; "
    "`told`, all people. Else missing or null."
)
TRANSCRIBE = "Whether people's words are recognised and written. The room's first request decides."


def _at_most(limit: int) -> AfterValidator:
    def check(text: str) -> str:
        size = len(text.encode())
        if size > limit:
            raise ValueError(f"expected at most {limit} bytes, got {size}")
        return text

    return AfterValidator(check)


def not_an_agents(identity: str) -> str:
    """Refuse an identity that is reserved for our agents."""
    if identity.startswith(wire.AGENT_IDENTITY_PREFIX):
        raise ValueError(f"identities that begin with {wire.AGENT_IDENTITY_PREFIX!r} are agents'")
    return identity


def _without_reserved(attributes: dict[str, str]) -> dict[str, str]:
    """Drop LiveKit's own attributes and those that identify our agents."""
    kept = {
        key: value
        for key, value in attributes.items()
        if not key.startswith("lk.") and key not in wire.OWN_ATTRIBUTES
    }
    size = sum(len(key.encode()) + len(value.encode()) for key, value in kept.items())
    if size > ATTRIBUTES_BYTES:
        raise ValueError(f"expected at most {ATTRIBUTES_BYTES} bytes in all, got {size}")
    return kept


def fresh_name(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(8)}"


# Control characters forge log lines; marks of direction make a name look like another. A name of
# spaces and marks alone is none to whoever looks at a room.
_PLAIN = r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*"
_SEEN = (
    r"[^\x00-\x20\x7f-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    r"\u2800\u3000\u3164\ufe0f\ufeff]"
)
Named = Annotated[
    str,
    Matching(
        _PLAIN + _SEEN + _PLAIN,
        "a text that can be seen, without control characters, line ends and marks that turn its "
        "direction",
    ),
    _at_most(NAME_BYTES),
]


class Message(BaseModel):
    """A message in protobuf's JSON: its fields are in snake_case or in camelCase."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _read_as_protobuf_does(cls, fields: object) -> object:
        """Read either spelling, and `null` and `""` as missing. Refuses a field in both."""
        if not isinstance(fields, Mapping):
            return fields
        names = {to_camel(name): name for name in cls.model_fields}
        read: dict[str, Any] = {}
        for key, value in fields.items():
            if value is None or value == "":
                continue
            name = names.get(str(key), str(key))
            if name in read:
                raise ValueError(f"{name} and {to_camel(name)} are one field; expected one of them")
            read[name] = value
        return read


EXAMPLES: list[Any] = [
    {"room_name": "kitchen", "participant_name": "Ann"},
    {"roomConfig": {"agents": [{"agentName": "moshi", "metadata": '{"persona": "chef"}'}]}},
]


class RequestedAgent(Message):
    """One entry of `room_config.agents`: personas in its metadata."""

    agent_name: str = wire.AGENT_NAME
    metadata: str = ""


class RoomConfig(Message):
    """The part of LiveKit's `RoomConfiguration` that this service reads."""

    agents: tuple[RequestedAgent, ...] = Field(default=(), max_length=PERSONAS_PER_ROOM)


class TokenRequest(Message):
    """A participant, a room and its personas. Every field may also be spelt in camelCase."""

    model_config = ConfigDict(
        extra="allow",  # to name unknown fields
        json_schema_extra={"examples": EXAMPLES},
    )

    room_name: Named = Field(default_factory=lambda: fresh_name("room"))
    participant_identity: Annotated[Named, AfterValidator(not_an_agents)] = Field(
        default_factory=lambda: fresh_name("person")
    )
    participant_name: Named = "Guest"
    participant_metadata: Annotated[str, _at_most(METADATA_BYTES)] = ""
    participant_attributes: Annotated[dict[str, str], AfterValidator(_without_reserved)] = Field(
        default_factory=dict[str, str]
    )
    room_config: RoomConfig = RoomConfig()
    transcribe: bool = Field(default=True, strict=True, description=TRANSCRIBE)
    record: bool = Field(default=False, strict=True, description=RECORD)

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        """Read a body; an empty one means all defaults. Raises `InvalidInput`."""
        try:
            return cls.model_validate_json(body.strip() or b"{}")
        except ValidationError as error:
            if error.errors()[0]["type"] == "json_invalid":
                raise InvalidInput(f"body: {error.errors()[0]['msg']}") from error
            raise InvalidInput(explain(error)) from error

    @property
    def unknown_fields(self) -> list[str]:
        return [name[:NAMED_CHARACTERS] for name in islice(self.model_extra or {}, NAMED_FIELDS)]

    def person(self) -> Participant:
        return Participant(
            room=self.room_name,
            identity=self.participant_identity,
            name=self.participant_name,
            metadata=self.participant_metadata,
            attributes=self.participant_attributes,
        )

    def personas(self, catalogue: Catalogue, default: str) -> tuple[Persona, ...]:
        """Return the personas of all entries in order. Raises `InvalidInput`."""
        agents = self.room_config.agents or (RequestedAgent(),)
        wanted = [
            persona
            for place, agent in enumerate(agents)
            for persona in _personas_of(place, agent, catalogue, default)
        ]
        if len(wanted) > PERSONAS_PER_ROOM:
            raise InvalidInput(
                f"room_config.agents: {len(wanted)} personas; expected at most {PERSONAS_PER_ROOM}"
            )
        return tuple(wanted)


def _personas_of(
    place: int, agent: RequestedAgent, catalogue: Catalogue, default: str
) -> tuple[Persona, ...]:
    where = f"room_config.agents.{place}"
    if agent.agent_name != wire.AGENT_NAME:
        raise InvalidInput(
            f"{where}.agent_name={agent.agent_name!r:.80}: expected {wire.AGENT_NAME!r}"
        )
    try:
        return personas_asked_for(agent.metadata, catalogue, default)
    except InvalidInput as error:
        raise InvalidInput(f"{where}.{error}") from error
