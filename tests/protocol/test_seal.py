"""The seal of a dispatch: what was not sealed with this secret, for this room, is refused."""

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
PROMISE = RoomSpec(
    room="küche",
    generation=3,
    personas=(Persona(name="chef", label="Chef", prompt="You have a secret recipe."),),
    owner="shop",
)


def test_a_sealed_promise_survives_the_way_to_the_worker() -> None:
    """What the token service dispatches is what the worker reads."""
    assert SEAL.open(SEAL.close(PROMISE), "küche") == PROMISE


@pytest.mark.parametrize(
    "forged",
    [
        "",
        PROMISE.metadata(),
        f" {PROMISE.metadata()}",
        f"{'0' * 64} {PROMISE.metadata()}",
        f"ü {PROMISE.metadata()}",
        FOREIGN.close(PROMISE),
        SEAL.close(PROMISE).replace('"generation":3', '"generation":999999'),
        SEAL.close(PROMISE).replace('"owner":"shop"', '"owner":"bank"'),
    ],
)
def test_what_was_not_sealed_is_refused(forged: str) -> None:
    """No signature, another's, or one of another text: the refusal says so and shows no prompt."""
    with pytest.raises(InvalidInput, match=r"^job metadata: expected what a token service"):
        SEAL.open(forged, "küche")


def test_a_promise_is_for_its_own_room() -> None:
    """A dispatch that is copied into another room is refused with both names."""
    with pytest.raises(InvalidInput, match="room='küche': expected 'cellar'"):
        SEAL.open(SEAL.close(PROMISE), "cellar")


@given(st.text(max_size=80))
def test_no_text_is_a_failure(metadata: str) -> None:
    """Whatever a dispatch carries is refused in words."""
    with pytest.raises(InvalidInput, match=r"^job metadata: "):
        SEAL.open(metadata, "r")
