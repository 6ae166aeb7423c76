"""The pocket Moshi's text: a tokenizer with a piece for every word that it says or reads.

Pieces are those of `tokenizer.py`: control ids, bytes and characters, so that any text can be read;
then words with their punctuation, as written. Pure.
"""

from collections.abc import Iterable

from protocol.config.settings import Settings
from protocol.personas import load_catalogue
from training.repertoire import PEOPLE, VOICES, lines
from training.tokenizer import WORDS, pieces_of

EPAD, PAD = 0, 3


def vocabulary() -> list[str]:
    """Return every word of the repertoire and of the catalogue's prompts, then common ones."""
    texts = [line.text for line in lines()] + [voice.introduction for voice in VOICES.values()]
    texts += [persona.prompt for persona in load_catalogue(Settings().personas_dir).values()]
    return list(dict.fromkeys(_words([*texts, *PEOPLE, *WORDS])))


def _words(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        yield from text.split()


def pieces() -> list[str]:
    """Return the piece of every text id."""
    return pieces_of(vocabulary())


class Words:
    """Words of the repertoire as ids: one each."""

    def __init__(self) -> None:
        self._ids = {piece.removeprefix("▁"): n for n, piece in enumerate(pieces()) if n > PAD}

    def __call__(self, text: str) -> list[int]:
        """Return the ids of a line, one for each word."""
        return [self._ids[word] for word in text.split()]
