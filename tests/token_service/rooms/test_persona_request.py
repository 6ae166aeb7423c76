"""The personas that the metadata of a dispatch request may ask for."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InvalidInput
from protocol.personas import PERSONAS_PER_ROOM, Persona
from protocol.room_spec import RoomSpec
from token_service.rooms.persona_request import personas_asked_for

CHEF = Persona(name="chef", label="Chef", line="Cooks", voice="NATM1", prompt="You cook.")
ASKED_CHEF = CHEF.model_copy(update={"examples": ("What is in the fridge?",)})
GUIDE = Persona(name="guide", label="Guide")
CATALOGUE = {"chef": ASKED_CHEF, "guide": GUIDE}  # examples are for the page alone
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
SAMPLINGS = st.fixed_dictionaries(
    {},
    optional={
        "text_temperature": SCALARS,
        "audio_temperature": SCALARS,
        "text_top_k": SCALARS,
        "audio_top_k": SCALARS,
        "seed": SCALARS,
    },
)
WANTED = (
    SCALARS
    | st.sampled_from(["chef", "guide"])
    | st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["chef", "robot"]) | SCALARS,
            "label": SCALARS,
            "voice": SCALARS,
            "prompt": SCALARS,
            "greeting": SCALARS,
            "sampling": SAMPLINGS | SCALARS,
            "x": SCALARS,
        },
    )
)


def asked(metadata: Any) -> tuple[Persona, ...]:
    """Return the personas that metadata asks for, with `guide` as the default."""
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    return personas_asked_for(text, CATALOGUE, "guide")


def refusal(metadata: Any) -> str:
    """Return the message with which metadata is refused."""
    with pytest.raises(InvalidInput) as caught:
        asked(metadata)
    return str(caught.value)


@pytest.mark.parametrize("metadata", ["", "  ", {}])
def test_nothing_asked_means_the_default(metadata: Any) -> None:
    """Empty metadata asks for the default persona."""
    assert asked(metadata) == (GUIDE,)


def test_a_persona_is_asked_for_by_name() -> None:
    """A catalogue name gives the catalogue's persona as it is."""
    assert asked({"persona": "chef"}) == (CHEF,)


def test_several_personas_are_asked_for_in_order() -> None:
    """A list gives its personas in order, the same one twice if asked so."""
    assert asked({"personas": ["guide", "chef", "guide"]}) == (GUIDE, CHEF, GUIDE)


def test_fields_override_the_catalogues() -> None:
    """An object with a known name keeps the catalogue's other fields."""
    persona = {"name": "chef", "prompt": "You bake."}

    assert asked({"persona": persona}) == (CHEF.model_copy(update={"prompt": "You bake."}),)


def test_a_new_persona_gets_a_label_from_its_name() -> None:
    """An object with an unknown name and a prompt is a new persona, labelled by its name."""
    persona = {"name": "night_porter", "prompt": "You are a porter."}

    assert asked({"persona": persona}) == (
        Persona(name="night_porter", label="Night porter", prompt="You are a porter."),
    )


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"persona": "hal"}, "metadata.persona: 'hal' is unknown; choices: chef, guide"),
        ({"persona": {"name": "hal"}}, "metadata.persona: 'hal' is unknown; choices: chef, guide"),
        ({"persona": {"prompt": "You cook."}}, "metadata.persona: name: Field required"),
        ({"persona": 7}, "metadata.persona: got 7; expected a name or an object with a name"),
        ({"persona": None}, "metadata.persona: got null; expected a name or an object with a name"),
        (
            {"personas": ["chef", "hal"]},
            "metadata.personas.1: 'hal' is unknown; choices: chef, guide",
        ),
        ({"person": "x"}, "metadata: unknown field 'person'; expected 'persona' or 'personas'"),
        (
            {"persona": "chef", "personas": ["chef"]},
            "metadata: give 'persona' or 'personas', not both",
        ),
        ({"personas": []}, "metadata.personas: got 0 personas; expected a list of 1 to 14"),
        (
            {"personas": ["chef"] * 15},
            "metadata.personas: got 15 personas; expected a list of 1 to 14",
        ),
        ({"personas": "chef"}, "metadata.personas: got a text; expected a list of 1 to 14"),
        ([], "metadata: got a list; expected an object"),
        ({"persona": {"prompt": "x", "line": ""}}, "metadata.persona: name: Field required"),
        (
            {"persona": {"name": "chef", "voice": "../x"}},
            "metadata.persona: voice='../x': expected a voice's name or its file's: up to 64 "
            "letters, digits, - and _, as NATF2 or NATF2.pt; the choices are those of GET "
            "/voices, and default",
        ),
        (
            {"persona": {"name": "chef", "mood": 1}},
            "metadata.persona: mood=1: no such field; choices: name, label, line, voice, prompt, "
            "greeting, sampling, mind",
        ),
        (
            {"persona": {"name": "chef", "sampling": {"text_top_k": 129}}},
            "metadata.persona: sampling.text_top_k=129: Input should be less than or equal to 128",
        ),
        (
            {"persona": {"name": "chef", "sampling": {"audio_top_k": 257}}},
            "metadata.persona: sampling.audio_top_k=257: Input should be less than or equal to 256",
        ),
    ],
)
def test_invalid_metadata_is_refused(metadata: Any, reason: str) -> None:
    """A refusal names the field, the value and what was expected."""
    assert refusal(metadata) == reason


def test_text_that_is_no_json_is_refused() -> None:
    """Metadata that is not JSON is refused."""
    assert refusal("chef").startswith("metadata: not JSON (")


def test_a_number_longer_than_python_reads_is_refused() -> None:
    """A number longer than Python reads is refused as not JSON."""
    assert refusal('{"persona": ' + "9" * 5000 + "}").startswith("metadata: not JSON (")


@pytest.mark.parametrize("temperature", [float("nan"), float("inf")])
def test_a_temperature_is_a_number(temperature: float) -> None:
    """A temperature of NaN or infinity is refused."""
    persona = {"name": "chef", "sampling": {"text_temperature": temperature}}

    assert refusal({"persona": persona}).startswith("metadata.persona: sampling.text_temperature=")


def test_a_lone_surrogate_is_refused() -> None:
    """A lone surrogate in a prompt is refused."""
    assert refusal('{"persona": {"name": "chef", "prompt": "\\ud800"}}').startswith(
        "metadata.persona: prompt='\\ud800': "
    )


def test_a_prompt_has_at_most_a_thousand_characters() -> None:
    """A prompt has at most 1000 characters after the blanks around it are removed."""
    longest = "x" * 1000

    assert asked({"persona": {"name": "chef", "prompt": f" {longest}\n"}})[0].prompt == longest
    assert refusal({"persona": {"name": "chef", "prompt": longest + "x"}}).endswith(
        "String should have at most 1000 characters"
    )


@given(st.text())
def test_any_text_is_personas_or_refused(text: str) -> None:
    """Any text gives personas or is refused with InvalidInput."""
    try:
        assert asked(text)
    except InvalidInput as error:
        assert str(error)


@given(JSON | st.fixed_dictionaries({"personas": st.lists(WANTED, max_size=PERSONAS_PER_ROOM)}))
def test_requested_personas_can_be_read_back(metadata: Any) -> None:
    """Metadata is refused, or its personas survive the way through redis and the dispatch."""
    try:
        spec = RoomSpec(room="r", personas=asked(metadata))
    except InvalidInput as error:
        assert str(error)
    else:
        assert RoomSpec.from_metadata(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("written", "name"),
    [("NATF2.pt", "NATF2"), ("anna.wav", "anna"), ("NATF2", "NATF2"), ("default", "default")],
)
def test_a_voice_may_be_named_by_its_file(written: str, name: str) -> None:
    """A voice may be named with its file's ending."""
    assert asked({"persona": {"name": "chef", "voice": written}})[0].voice == name
