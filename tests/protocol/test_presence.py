"""What a participant's attributes say of a persona: anybody may have written them."""

import pytest

from protocol.presence import host_generation


@pytest.mark.parametrize(
    ("written", "generation"),
    [
        ({"generation": "3"}, 3),
        ({}, None),
        ({"generation": ""}, None),
        ({"generation": "v2"}, None),
        ({"generation": "-1"}, None),
        ({"generation": "1.5"}, None),
        ({"generation": "²"}, None),
        ({"generation": "9" * 5_000}, None),
    ],
)
def test_a_generation_is_a_whole_number_or_none(
    written: dict[str, str], generation: int | None
) -> None:
    """What is no whole number, or has more digits than Python reads, is no generation."""
    assert host_generation(written) == generation
