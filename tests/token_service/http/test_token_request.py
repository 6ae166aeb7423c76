"""The body of the token endpoint: defaults, fields that are dropped, and refusals."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import wire
from protocol.config.settings import PROJECT
from protocol.errors import InvalidInput
from protocol.personas import PERSONAS_PER_ROOM, load_catalogue
from token_service.http.token_request import TokenRequest

CATALOGUE = load_catalogue(PROJECT / "personas")
FIELDS = (
    "room_name",
    "participant_name",
    "participant_identity",
    "participant_metadata",
    "participant_attributes",
    "room_config",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=8,
)


def read(**fields: Any) -> TokenRequest:
    """Return the request of a body with these fields."""
    return TokenRequest.from_body(json.dumps(fields).encode())


def asking(*agents: dict[str, Any]) -> TokenRequest:
    """Return a request that asks for agents."""
    return read(room_config={"agents": agents})


def refusal(**fields: Any) -> str:
    """Return the message with which a request is refused."""
    with pytest.raises(InvalidInput) as caught:
        read(**fields)
    return str(caught.value)


def names(request: TokenRequest) -> list[str]:
    """Return the names of the personas that a request asks for."""
    return [persona.name for persona in request.personas(CATALOGUE, "assistant")]


@pytest.mark.parametrize("body", [b"", b"  \n", b"{}", b'{"room_name": null, "room_config": {}}'])
def test_an_empty_request_means_every_default(body: bytes) -> None:
    """An empty body, an empty object, nulls and empty messages all mean the defaults."""
    request = TokenRequest.from_body(body)

    assert request.room_name.startswith("room-")
    assert request.participant_identity.startswith("person-")
    assert request.participant_name == "Guest"
    assert request.participant_metadata == ""
    assert request.participant_attributes == {}
    assert names(request) == ["assistant"]


def test_an_empty_text_means_the_default() -> None:
    """An empty text means the default, as in protobuf's JSON."""
    assert read(participant_name="").participant_name == "Guest"


@pytest.mark.parametrize("field", ["room_name", "participant_identity"])
def test_generated_names_do_not_repeat(field: str) -> None:
    """Generated rooms and identities do not repeat."""
    generated = {getattr(read(), field) for _ in range(100)}

    assert len(generated) == 100


def test_every_standard_field_is_read() -> None:
    """Every field of the standard body is read."""
    request = read(
        room_name="kitchen",
        participant_identity="ann",
        participant_name="Ann",
        participant_metadata="m",
        participant_attributes={"a": "b"},
        transcribe=False,
        room_config={"agents": [{"agent_name": "moshi", "metadata": '{"persona": "chef"}'}]},
    )

    assert request.model_dump(exclude={"room_config"}) == {
        "room_name": "kitchen",
        "participant_identity": "ann",
        "participant_name": "Ann",
        "participant_metadata": "m",
        "participant_attributes": {"a": "b"},
        "transcribe": False,
        "record": False,
    }
    assert names(request) == ["chef"]


def test_unknown_fields_are_ignored() -> None:
    """Unknown fields are ignored, also inside room_config."""
    request = read(
        nonsense=1,
        room_config={
            "egress": {},
            "departure_timeout": 9,
            "max_participants": 1,
            "agents": [{"agent_name": "moshi", "deployment": "x", "attributes": {"a": "b"}}],
        },
    )

    assert request.room_config.model_dump() == {
        "agents": ({"agent_name": "moshi", "metadata": ""},)
    }


def test_either_spelling_of_protobufs_json_is_read() -> None:
    """Fields in camelCase and in snake_case are read alike, also inside `roomConfig`."""
    request = read(
        roomName="kitchen",
        participantIdentity="ann",
        participant_name="Ann",
        participantMetadata="m",
        participantAttributes={"someKey": "b"},
        roomConfig={"agents": [{"agentName": "moshi", "metadata": '{"persona": "chef"}'}]},
    )

    assert request.model_dump(exclude={"room_config"}) == {
        "room_name": "kitchen",
        "participant_identity": "ann",
        "participant_name": "Ann",
        "participant_metadata": "m",
        "participant_attributes": {"someKey": "b"},
        "transcribe": True,
        "record": False,
    }
    assert names(request) == ["chef"]
    assert request.unknown_fields == []
    assert request.model_fields_set >= {"room_name", "participant_identity"}


def test_another_agents_name_is_refused_in_camel_case_too() -> None:
    """Another agent's name is refused in the spelling `agentName` as well."""
    with pytest.raises(InvalidInput) as caught:
        read(roomConfig={"agents": [{"agentName": "siri"}]}).personas(CATALOGUE, "assistant")

    assert str(caught.value) == "room_config.agents.0.agent_name='siri': expected 'moshi'"


def test_a_field_in_both_spellings_is_refused() -> None:
    """A field in both spellings is refused, unless one of the two is empty."""
    both = refusal(room_name="kitchen", roomName="cellar")

    assert both.endswith("room_name and roomName are one field; expected one of them")
    assert read(room_name="", roomName="cellar").room_name == "cellar"


def test_unknown_fields_are_named() -> None:
    """Unknown fields are named: at most eight, each cut at 80 characters, without empty ones."""
    request = read(roomNmae="kitchen", room="kitchen", empty="", **{"x" * 99: 1})

    assert request.unknown_fields == ["roomNmae", "room", "x" * 80]
    assert len(read(**{f"field{n}": n for n in range(99)}).unknown_fields) == 8


def test_livekits_and_our_own_attributes_are_left_out() -> None:
    """Attributes of LiveKit's and of our agents are removed from a person's attributes."""
    request = read(
        participant_attributes={
            "lk.agent.state": "speaking",
            "lk.publish_on_behalf": "ann",
            "persona": "chef",
            "voice": "v",
            "model": "m",
            "generation": "7",
            "floor": "true",
            "seat": "3",
        }
        | dict.fromkeys(wire.OWN_ATTRIBUTES, "x")
    )

    assert request.participant_attributes == {"seat": "3"}


def test_an_agents_identity_is_refused() -> None:
    """An identity that begins like our agents' is refused."""
    assert refusal(participant_identity="agent-chef-1") == (
        "participant_identity='agent-chef-1': identities that begin with 'agent-' are agents'"
    )


@pytest.mark.parametrize("field", ["room_name", "participant_identity", "participant_name"])
def test_a_name_has_at_most_256_bytes(field: str) -> None:
    """A room, identity or name has at most 256 bytes, of which `ä` takes two."""
    at_most = "ä" * 128

    assert getattr(read(**{field: at_most}), field) == at_most
    assert refusal(**{field: at_most + "x"}).endswith(": expected at most 256 bytes, got 257")


@pytest.mark.parametrize("field", ["room_name", "participant_identity", "participant_name"])
@pytest.mark.parametrize("text", ["a\nb", "a\u2028b", "a\u2029", "a\u202eb", "\x7f"])
def test_a_name_has_no_control_characters(field: str, text: str) -> None:
    """A room, identity or name with a control character, line end or override is refused."""
    assert refusal(**{field: text}).startswith(f"{field}={text!r}: ")


@pytest.mark.parametrize("field", ["room_name", "participant_identity", "participant_name"])
@pytest.mark.parametrize("text", [" ", "\xa0\u3000", "\u200b\u200d", "\u2060", "\u2800", "\u3164"])
def test_a_name_can_be_seen(field: str, text: str) -> None:
    """A room, identity or name of spaces and marks without a form alone is refused."""
    assert refusal(**{field: text}).startswith(
        f"{field}={text!r}: expected a text that can be seen"
    )


@pytest.mark.parametrize(
    "text", [" Ann ", "王小明", "שלום", "\u200fأحمد", "👩\u200d👩\u200d👧", "❤\ufe0f", "e\u0301"]
)
def test_a_name_may_be_in_any_script(text: str) -> None:
    """Names in any script, with the marks that scripts and emoji need, are taken as they are."""
    assert read(participant_name=text).participant_name == text


def test_metadata_has_at_most_4_kib() -> None:
    """Participant metadata has at most 4096 bytes."""
    at_most = "x" * 4096

    assert read(participant_metadata=at_most).participant_metadata == at_most
    assert refusal(participant_metadata=at_most + "x").endswith(
        ": expected at most 4096 bytes, got 4097"
    )


def test_attributes_have_at_most_4_kib_in_all() -> None:
    """The keys and values of all attributes have at most 4096 bytes together."""
    assert len(read(participant_attributes={"key": "x" * 4093}).participant_attributes) == 1
    assert refusal(participant_attributes={"key": "x" * 4094}).endswith(
        ": expected at most 4096 bytes in all, got 4097"
    )


def test_several_agents_personas_come_in_order() -> None:
    """The personas of all entries of room_config.agents are taken in order."""
    request = asking(
        {"agent_name": "moshi", "metadata": '{"personas": ["chef", "teacher"]}'},
        {"metadata": '{"persona": "astronaut"}'},
        {},
    )

    assert names(request) == ["chef", "teacher", "astronaut", "assistant"]


def test_personas_of_all_agents_together_are_limited() -> None:
    """A room has at most PERSONAS_PER_ROOM personas, those of all agents counted together."""
    eight = {"metadata": json.dumps({"personas": ["chef"] * 8})}

    with pytest.raises(InvalidInput) as caught:
        asking(eight, eight).personas(CATALOGUE, "assistant")

    assert (
        str(caught.value)
        == f"room_config.agents: 16 personas; expected at most {PERSONAS_PER_ROOM}"
    )


def test_another_agents_name_is_refused() -> None:
    """Another agent's name than ours is refused, and the refusal names ours."""
    with pytest.raises(InvalidInput) as caught:
        asking({}, {"agent_name": "siri"}).personas(CATALOGUE, "assistant")

    assert str(caught.value) == "room_config.agents.1.agent_name='siri': expected 'moshi'"


def test_a_refused_persona_names_its_entry() -> None:
    """The refusal of an unknown persona names its entry and the choices."""
    with pytest.raises(InvalidInput) as caught:
        asking({"metadata": '{"persona": "hal"}'}).personas(CATALOGUE, "assistant")

    assert str(caught.value) == (
        "room_config.agents.0.metadata.persona: 'hal' is unknown; "
        "choices: assistant, astronaut, chef, customer_service, teacher"
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"nope", "body: Invalid JSON: expected ident at line 1 column 2"),
        (b"[1]", "input=[1]: expected an object, got a list"),
        (b'{"room_name": 7}', "room_name=7: expected a text, got a number"),
        (
            b'{"participant_attributes": {"a": 1}}',
            "participant_attributes.a=1: expected a text, got a number",
        ),
    ],
)
def test_a_body_of_the_wrong_shape_names_field_value_and_type(body: bytes, reason: str) -> None:
    """A body of the wrong shape is refused with the field, the value and what is expected."""
    with pytest.raises(InvalidInput) as caught:
        TokenRequest.from_body(body)

    assert str(caught.value) == reason


def answer_to(body: bytes) -> str | list[str]:
    """Return the names of the personas that a body asks for, or the refusal."""
    try:
        return names(TokenRequest.from_body(body))
    except InvalidInput as refusal:
        return str(refusal)


@given(st.binary())
def test_any_bytes_are_a_request_or_refused_in_words(body: bytes) -> None:
    """Any bytes are a request or are refused with InvalidInput."""
    assert answer_to(body)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON)))
def test_any_json_in_any_field_is_a_request_or_refused_in_words(fields: dict[str, Any]) -> None:
    """Any JSON value in any field is a request or is refused with InvalidInput."""
    assert answer_to(json.dumps(fields).encode())


@given(JSON | st.fixed_dictionaries({}, optional={"persona": JSON, "personas": JSON}))
def test_any_metadata_is_a_request_or_refused_in_words(metadata: Any) -> None:
    """Any agent metadata is a request or is refused with InvalidInput."""
    agents = {"agents": [{"metadata": json.dumps(metadata)}]}

    assert answer_to(json.dumps({"room_config": agents}).encode())
