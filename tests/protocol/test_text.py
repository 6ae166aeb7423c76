"""Text of people: what cannot be seen goes, everything else stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.text import clean, clean_line


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("a\x00b\x1b[2Jc\x7f\x9fd", "ab[2Jcd"),
        ("a\u202eb\u2066c", "abc"),
        ("one\r\ntwo\rthree\u2028four\tfive", "one\ntwo\nthree\nfour five"),
        ("Grüße, 你好 👩\u200d🍳", "Grüße, 你好 👩\u200d🍳"),
    ],
)
def test_what_cannot_be_seen_goes(given: str, cleaned: str) -> None:
    """Control characters and direction overrides go; line ends, letters and emoji stay."""
    assert clean(given) == cleaned


@given(st.text())
def test_cleaned_text_is_clean(text: str) -> None:
    """Cleaning twice is cleaning once, and a line has no line end."""
    assert clean(clean(text)) == clean(text)
    assert "\n" not in clean_line(text)
