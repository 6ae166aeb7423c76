"""Cleaning of people's text: invisible characters are removed."""

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
def test_invisible_characters_are_removed(given: str, cleaned: str) -> None:
    """Control characters and direction overrides are removed; line ends, letters and emoji stay."""
    assert clean(given) == cleaned


@given(st.text())
def test_cleaned_text_is_clean(text: str) -> None:
    """Cleaning twice is cleaning once, and a cleaned line has no line end."""
    assert clean(clean(text)) == clean(text)
    assert "\n" not in clean_line(text)
