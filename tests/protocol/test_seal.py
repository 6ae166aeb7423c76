"""The seal of a dispatch: metadata not sealed with this secret for this room is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.servers import GivenSettings
from protocol.errors import InvalidInput
from protocol.personas import Persona
from protocol.room_spec import RoomSpec
from protocol.seal import Seal

SEAL = Seal(GivenSettings(livekit_api_secret="one secret of at least 32 bytes!"))
FOREIGN = Seal(GivenSettings(livekit_api_secret="another secret of at least 32 by"))
SPEC = RoomSpec(
    room="küche",
    generation=3,
    personas=(Persona(name="chef", label="Chef", prompt="You have a secret recipe."),),
    owner="shop",
)


def test_a_sealed_spec_survives_the_way_to_the_worker() -> None:
    """A sealed spec is opened as it was closed."""
    assert SEAL.open(SEAL.close(SPEC), "küche") == SPEC


@pytest.mark.parametrize(
    "forged",
    [
        "",
        SPEC.metadata(),
        f" {SPEC.metadata()}",
        f"{'0' * 64} {SPEC.metadata()}",
        f"ü {SPEC.metadata()}",
        FOREIGN.close(SPEC),
        SEAL.close(SPEC).replace('"generation":3', '"generation":999999'),
        SEAL.close(SPEC).replace('"owner":"shop"', '"owner":"bank"'),
    ],
)
def test_metadata_that_was_not_sealed_is_refused(forged: str) -> None:
    """Metadata without a seal, with another secret's or with a changed text is refused."""
    with pytest.raises(InvalidInput, match=r"^job metadata: expected what a token service"):
        SEAL.open(forged, "küche")


def test_a_sealed_spec_is_for_its_own_room() -> None:
    """A seal for another room is refused with both rooms' names."""
    with pytest.raises(InvalidInput, match="room='küche': expected 'cellar'"):
        SEAL.open(SEAL.close(SPEC), "cellar")


@given(st.text(max_size=80))
def test_any_unsealed_text_is_refused(metadata: str) -> None:
    """Any text that is not sealed is refused with InvalidInput."""
    with pytest.raises(InvalidInput, match=r"^job metadata: "):
        SEAL.open(metadata, "r")
