"""Room specs and heartbeats, as they travel to the other service, and their keys in redis."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InvalidInput
from protocol.heartbeat import Heartbeat, RoomOutcome, heartbeat_key
from protocol.personas import Persona
from protocol.room_spec import PersonaSpec, RoomSpec, persona_specs, spec_key
from protocol.wire import persona_identity

CHEF = Persona(name="chef", label="Chef", prompt="You have a secret recipe.")


def test_a_spec_survives_the_way_to_the_worker() -> None:
    """A room spec is read from a dispatch's metadata as it was written."""
    spec = RoomSpec(room="küche", generation=3, personas=(CHEF, CHEF))

    assert RoomSpec.from_metadata(spec.model_dump_json()) == spec


@pytest.mark.parametrize("metadata", ["", "x", "{}", '{"room": "r", "personas": []}'])
def test_metadata_that_is_no_spec_is_refused(metadata: str) -> None:
    """Metadata that is no room spec is refused as job metadata."""
    with pytest.raises(InvalidInput) as caught:
        RoomSpec.from_metadata(metadata)

    assert str(caught.value).startswith("job metadata: ")


def test_a_refused_spec_does_not_show_its_prompts() -> None:
    """The refusal of a room spec names the field and shows no prompt."""
    metadata = RoomSpec(room="r", personas=(CHEF,)).model_dump_json().replace("You", "You" * 999)

    with pytest.raises(InvalidInput) as caught:
        RoomSpec.from_metadata(metadata)

    assert "personas.0.prompt" in str(caught.value)
    assert "You" not in str(caught.value)


def test_an_older_services_personas_get_the_ids_of_their_places() -> None:
    """Personas of a spec without ids get ids by their places, and are not muted."""
    older = {"room": "r", "generation": 1, "personas": [CHEF.model_dump(), CHEF.model_dump()]}
    spec = RoomSpec.from_metadata(json.dumps(older))
    first = spec.personas[0]

    assert [each.id for each in spec.personas] == ["p0", "p1"]
    assert (first.muted, spec.ended) == (False, False)


def test_two_personas_of_one_id_are_refused() -> None:
    """A room spec in which two personas have one id is refused."""
    twins = [CHEF.model_dump() | {"id": "a"}] * 2

    with pytest.raises(InvalidInput, match="an id of its own for each persona"):
        RoomSpec.from_metadata(json.dumps({"room": "r", "personas": twins}))


def test_each_persona_of_a_spec_gets_an_id() -> None:
    """Each persona of a spec gets an id of 64 bits, also the same one twice."""
    first, second = persona_specs([CHEF, CHEF])

    assert first.id != second.id
    assert [len(first.id), len(second.id)] == [16, 16]
    assert first.model_copy(update={"id": second.id}) == second


IDS = st.text(alphabet="abcdef0123456789", min_size=1, max_size=32)
PERSONAS = st.builds(
    PersonaSpec,
    name=st.just("chef"),
    label=st.just("Chef"),
    id=IDS,
    muted=st.booleans(),
)


@given(st.lists(PERSONAS, min_size=1, max_size=14, unique_by=lambda each: each.id), st.booleans())
def test_every_field_survives_the_way_to_the_host(personas: list[PersonaSpec], ended: bool) -> None:
    """Ids, mutes and the end of a room spec are read as they were written."""
    spec = RoomSpec(room="r", personas=tuple(personas), ended=ended)

    assert RoomSpec.from_metadata(spec.model_dump_json()) == spec


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_other_metadata_is_refused(metadata: str | bytes) -> None:
    """Any metadata that is no room spec is refused with InvalidInput."""
    text = metadata if isinstance(metadata, str) else metadata.decode(errors="replace")
    with pytest.raises(InvalidInput, match=r"^job metadata: "):
        RoomSpec.from_metadata(text)


def test_an_identity_tells_the_persona_and_its_id() -> None:
    """A persona's identity has its name, its id and the host's part."""
    assert persona_identity("chef", "0a1b", "9f") == "agent-chef-0a1b-9f"


def test_a_heartbeat_survives_the_way_to_the_service() -> None:
    """A heartbeat is read as it was written."""
    outcomes = {"r": RoomOutcome(generation=2, outcome="hosted")}
    heartbeat = Heartbeat(worker_id="w", state="ready", model="m", outcomes=outcomes)

    assert Heartbeat.model_validate_json(heartbeat.model_dump_json()) == heartbeat


def test_keys_take_any_name() -> None:
    """A key holds any name as it is, also one with braces."""
    assert spec_key("{room}") == "moshi:promise:{room}"
    assert heartbeat_key("w:1") == "moshi:worker:w:1"
