"""Text: its types, of a certain form or without hidden characters, and its encoding. Pure."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

ENCODING = "utf-8-sig"  # of files: with or without the byte order mark that some editors write
BIDI = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))  # overrides, isolates
LINE_ENDS = {"\r\n": "\n", "\r": "\n", "\u2028": "\n", "\u2029": "\n", "\t": " "}


@dataclass(frozen=True, slots=True)
class Matching:
    """In an `Annotated`: the whole text must match `pattern`.

    A refusal shows `expected` in words, and not the pattern as pydantic's own `pattern=` would; the
    JSON schema has the pattern, for programs.
    """

    pattern: str
    expected: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Check the pattern after the type itself."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Add the pattern to the JSON schema."""
        return handler(schema) | {"pattern": f"^(?:{self.pattern})$"}

    def _check(self, text: str) -> str:
        if re.fullmatch(self.pattern, text, re.ASCII) is None:
            raise ValueError(f"expected {self.expected}")
        return text


def clean(text: str) -> str:
    """Remove control characters and direction overrides, and make all line ends `\\n`.

    They could deceive a reader, a log or a model.
    """
    for end, plain in LINE_ENDS.items():
        text = text.replace(end, plain)
    return "".join(each for each in text if each == "\n" or not _is_hidden(each))


def clean_line(text: str) -> str:
    """Do the same, and replace line ends by spaces."""
    return clean(text).replace("\n", " ")


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) == "Cc" or character in BIDI


# Last in an `Annotated`, so that lengths count the cleaned text.
Clean = BeforeValidator(lambda value: clean(value) if isinstance(value, str) else value)
CleanLine = BeforeValidator(lambda value: clean_line(value) if isinstance(value, str) else value)
