"""A prompt as the model reads it: with its marks, once."""

import pytest

from protocol.prompt import digest_of, marked, tokenizer_key, too_long


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        ("be kind", "<system> be kind <system>"),
        (" \n be kind\t", "<system> be kind <system>"),
        ("<system> be kind <system>", "<system> be kind <system>"),
        ("  <system>be kind<system>\n", "<system>be kind<system>"),
        ("<system> be kind", "<system> <system> be kind <system>"),
        ("be kind <system>", "<system> be kind <system> <system>"),
        ("<system>", "<system>"),
        ("Soup  5 €\n\nOpen: 9 - 5", "<system> Soup  5 €\n\nOpen: 9 - 5 <system>"),
        ("", ""),
        (" \n", ""),
    ],
)
def test_marks(prompt: str, read: str) -> None:
    """As NVIDIA's server wraps it: only where they are missing, and inner spaces stay."""
    assert marked(prompt) == read


def test_what_is_too_long_is_told_with_numbers() -> None:
    """The persona, the tokens and the limit, and no word of the prompt."""
    assert too_long("chef", 612, 500) == (
        "persona.prompt: chef's has 612 tokens with its marks; expected at most 500, "
        "which is what the model here reads: shorten it"
    )


def test_a_tokenizer_is_found_by_its_content() -> None:
    """Two workers with the same tokenizer leave it once."""
    assert tokenizer_key(digest_of(b"one")) == tokenizer_key(digest_of(b"one"))
    assert digest_of(b"one") != digest_of(b"two")
