"""The promise, as it travels in a dispatch's metadata, and the keys of redis."""

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


def test_a_promise_survives_the_way_to_the_worker() -> None:
    """What the token service writes is what the host reads."""
    spec = RoomSpec(room="küche", generation=3, personas=(CHEF, CHEF))

    assert RoomSpec.from_metadata(spec.model_dump_json()) == spec


def test_a_newer_services_fields_are_ignored() -> None:
    """Worker and token service may differ by a version while one is replaced."""
    spec = RoomSpec(room="r", personas=(CHEF,))
    newer = spec.model_dump_json()[:-1] + ', "colour": "blue"}'

    assert RoomSpec.from_metadata(newer) == spec


@pytest.mark.parametrize("metadata", ["", "x", "{}", '{"room": "r", "personas": []}'])
def test_metadata_that_is_no_promise_is_refused(metadata: str) -> None:
    """A dispatch of somebody else's is refused in words."""
    with pytest.raises(InvalidInput) as caught:
        RoomSpec.from_metadata(metadata)

    assert str(caught.value).startswith("job metadata: ")


def test_a_refused_promise_does_not_tell_its_prompts() -> None:
    """The refusal may be logged, so it holds no value of the promise."""
    metadata = RoomSpec(room="r", personas=(CHEF,)).model_dump_json().replace("You", "You" * 999)

    with pytest.raises(InvalidInput) as caught:
        RoomSpec.from_metadata(metadata)

    assert "personas.0.prompt" in str(caught.value)
    assert "You" not in str(caught.value)


def test_an_older_services_personas_get_the_ids_of_their_places() -> None:
    """A promise without ids, wishes and end is read: each persona has an id, and wants nothing."""
    older = {"room": "r", "generation": 1, "personas": [CHEF.model_dump(), CHEF.model_dump()]}
    spec = RoomSpec.from_metadata(json.dumps(older))
    first = spec.personas[0]

    assert [each.id for each in spec.personas] == ["p0", "p1"]
    assert (first.muted, spec.ended) == (False, False)


def test_two_personas_of_one_id_are_refused() -> None:
    """The host tells personas apart by their ids."""
    twins = [CHEF.model_dump() | {"id": "a"}] * 2

    with pytest.raises(InvalidInput, match="an id of its own for each persona"):
        RoomSpec.from_metadata(json.dumps({"room": "r", "personas": twins}))


def test_who_is_promised_gets_an_id_nobody_guesses() -> None:
    """The same persona twice is two, each with 64 random bits."""
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
def test_every_wish_survives_the_way_to_the_host(personas: list[PersonaSpec], ended: bool) -> None:
    """Ids, mutes and the end are read as they were written."""
    spec = RoomSpec(room="r", personas=tuple(personas), ended=ended)

    assert RoomSpec.from_metadata(spec.model_dump_json()) == spec


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_no_metadata_is_a_failure(metadata: str | bytes) -> None:
    """Whatever a dispatch carries is a promise or a refusal in words."""
    text = metadata if isinstance(metadata, str) else metadata.decode(errors="replace")
    with pytest.raises(InvalidInput, match=r"^job metadata: "):
        RoomSpec.from_metadata(text)


def test_an_identity_tells_the_persona_and_its_id() -> None:
    """A persona's participant is an agent by its name; the last part is the host's own."""
    assert persona_identity("chef", "0a1b", "9f") == "agent-chef-0a1b-9f"


def test_a_heartbeat_survives_the_way_to_the_service() -> None:
    """What the worker writes is what the token service reads."""
    outcomes = {"r": RoomOutcome(generation=2, outcome="hosted")}
    heartbeat = Heartbeat(worker_id="w", state="ready", model="m", outcomes=outcomes)

    assert Heartbeat.model_validate_json(heartbeat.model_dump_json()) == heartbeat


def test_keys_take_any_name() -> None:
    """A room may be called like a format's field."""
    assert spec_key("{room}") == "moshi:promise:{room}"
    assert heartbeat_key("w:1") == "moshi:worker:w:1"
