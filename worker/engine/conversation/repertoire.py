"""The lines that a small model has learned, the only ones that it can say on request. Pure.

It learned each of them by heart, as sound in one voice or in all. Any other text comes out as
single words with pauses between them, or as noise. Large models have none: they say any text.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from protocol.errors import InvalidInput

EVERY_VOICE = "*"
REST_FRAMES = 20  # after a line: the answer that it had learned instead would come, in fragments
NO_WORD = re.compile(r"[^\w]+")


class Repertoire:
    """The lines of a model by voice."""

    def __init__(self, lines: Mapping[str, Sequence[str]], usual_voice: str = "") -> None:
        """`usual_voice` stands in for a voice that the model lacks."""
        self.by_voice = {voice: tuple(texts) for voice, texts in lines.items()}
        self._usual_voice = usual_voice

    def of(self, voice: str) -> tuple[str, ...]:
        """Return the lines that can be said in a voice: its own, then those of every voice."""
        own = voice if voice in self.by_voice else self._usual_voice
        return (*self.by_voice.get(own, ()), *self.by_voice.get(EVERY_VOICE, ()))

    def find(self, text: str, voice: str) -> str | None:
        """Return the line as it was learned, ignoring case and punctuation; None: not learned."""
        wanted = _words(text)
        return next((line for line in self.of(voice) if _words(line) == wanted), None)


def read_repertoire(config: Mapping[str, Any], usual_voice: str) -> Repertoire | None:
    """Read `model_id.lines` of config.json: lists of lines by voice, `*` for every voice.

    Gives None where there is none: the model says any text. Raises `InvalidInput`.
    """
    about = config.get("model_id")
    lines = about.get("lines") if isinstance(about, dict) else None
    if lines is None:
        return None
    if not isinstance(lines, dict) or not all(map(_are_lines, lines.values())):
        raise InvalidInput(
            "config.json: model_id.lines: expected an object of lists of lines by voice, e.g. "
            '{"*": ["Hello."]}'
        )
    return Repertoire(lines, usual_voice)


def _are_lines(lines: object) -> bool:
    return isinstance(lines, list) and all(isinstance(line, str) and line for line in lines)


def _words(text: str) -> list[str]:
    return NO_WORD.sub(" ", text.casefold()).split()
