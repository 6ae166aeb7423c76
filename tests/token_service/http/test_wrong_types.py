"""Bodies whose values have another JSON type than their fields. Pure."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from protocol.errors import explain
from protocol.sampling import Sampling
from token_service.http.guests import GuestLinkRequest
from token_service.http.session_request import MuteRequest, RatingRequest, SessionRequest
from token_service.http.token_request import TokenRequest


@pytest.mark.parametrize("value", [True, "1"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (SessionRequest, "max_people"),
        (RatingRequest, "rating"),
        (GuestLinkRequest, "lives_s"),
        (Sampling, "text_temperature"),
        (Sampling, "text_top_k"),
        (Sampling, "audio_temperature"),
        (Sampling, "audio_top_k"),
        (Sampling, "seed"),
    ],
)
def test_a_number_is_a_number(body: type[BaseModel], field: str, value: Any) -> None:
    """Neither `true` nor a text is taken for a number: a room for `true` people had one place."""
    with pytest.raises(ValidationError) as refused:
        body.model_validate({field: value})

    kinds = ("a number", "a whole number")
    got = "a text" if isinstance(value, str) else "true or false"
    told = [f"{field}={value!r}: expected {kind}, got {got}" for kind in kinds]

    assert explain(refused.value) in told


@pytest.mark.parametrize(("value", "got"), [(1, "a number"), ("yes", "a text")])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (SessionRequest, "wait"),
        (SessionRequest, "transcribe"),
        (SessionRequest, "record"),
        (SessionRequest, "record_consent"),
        (TokenRequest, "transcribe"),
        (TokenRequest, "record"),
        (MuteRequest, "muted"),
    ],
)
def test_a_boolean_is_a_boolean(body: type[BaseModel], field: str, value: Any, got: str) -> None:
    """Neither a number nor a text is taken for `true` or `false`."""
    with pytest.raises(ValidationError) as refused:
        body.model_validate({field: value})

    assert explain(refused.value) == f"{field}={value!r}: expected true or false, got {got}"
