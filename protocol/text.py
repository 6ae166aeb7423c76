"""Text of people, cleaned: what cannot be seen can deceive a reader, a log or a model. Pure."""

import unicodedata

from pydantic import BeforeValidator

BIDI = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))  # overrides, isolates
LINE_ENDS = {"\r\n": "\n", "\r": "\n", "\u2028": "\n", "\u2029": "\n", "\t": " "}


def clean(text: str) -> str:
    """Drop control characters and direction overrides; line ends become one kind."""
    for end, plain in LINE_ENDS.items():
        text = text.replace(end, plain)
    return "".join(each for each in text if each == "\n" or not _hides(each))


def clean_line(text: str) -> str:
    """The same in one line."""
    return clean(text).replace("\n", " ")


def _hides(character: str) -> bool:
    return unicodedata.category(character) == "Cc" or character in BIDI


def _of_strings(given: object) -> object:
    return clean(given) if isinstance(given, str) else given


def _line_of_strings(given: object) -> object:
    return clean_line(given) if isinstance(given, str) else given


# Last in an `Annotated`: then lengths count what is left.
Clean = BeforeValidator(_of_strings)
CleanLine = BeforeValidator(_line_of_strings)
