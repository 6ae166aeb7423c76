"""A prompt as the model reads it: with its marks."""

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
def test_a_prompt_gets_the_marks_that_it_lacks(prompt: str, read: str) -> None:
    """A prompt gets the marks that it lacks, and its inner blanks stay."""
    assert marked(prompt) == read


def test_a_long_prompt_is_refused_with_numbers() -> None:
    """The message about a long prompt has the persona, the tokens and the limit."""
    assert too_long("chef", 612, 500) == (
        "persona.prompt: chef's has 612 tokens with its marks; expected at most 500, "
        "which is what the model here reads: shorten it"
    )


def test_a_tokenizer_is_found_by_its_content() -> None:
    """A tokenizer's key depends on its content alone."""
    assert tokenizer_key(digest_of(b"one")) == tokenizer_key(digest_of(b"one"))
    assert digest_of(b"one") != digest_of(b"two")
