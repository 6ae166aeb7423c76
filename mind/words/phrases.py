"""Patterns of people's words: words in order, alternatives, and gaps. Pure.

A pattern is found anywhere in a sentence: `open * sunday|sundays` in "When do you open on Sunday?".
Case, accents and punctuation do not count, so typed text and a speech recognizer's match alike. No
regular expressions: any operator can write a pattern, and none can take exponential time.
"""

import re
import unicodedata
from collections.abc import Sequence

GAP = "*"


def words_of(text: str) -> list[str]:
    """Return the words of a text, in small letters without accents and punctuation.

    Apostrophes and hyphens join: "what's" is `whats`, "Wi-Fi" is `wifi`.
    """
    return re.findall(r"\w+", re.sub(r"(?<=\w)['`-](?=\w)", "", plain(text)))


def plain(text: str) -> str:
    """Return a text in small letters without accents, and with one kind of apostrophe."""
    folded = unicodedata.normalize("NFKD", text.casefold()).casefold().replace("\u2019", "'")
    return "".join(each for each in folded if not unicodedata.combining(each))


class Phrase:
    """A pattern, ready to be compared."""

    def __init__(self, pattern: str) -> None:
        """Read a pattern: words, `|` between alternatives of one word, `*` for any words."""
        self._runs: list[list[frozenset[str]]] = [[]]
        for token in re.sub(r"\s*\|\s*", "|", pattern).split():
            if token == GAP:
                self._runs.append([])
                continue
            choices = {word for each in token.split("|") for word in words_of(each)}
            if choices:
                self._runs[-1].append(frozenset(choices))
        self._runs = [run for run in self._runs if run]
        self.weight = sum(map(len, self._runs))  # how many words it asks for

    def matches(self, words: Sequence[str]) -> bool:
        """Return whether the pattern's words stand in a sentence's words, in order."""
        begin = 0
        for run in self._runs:
            place = _find(run, words, begin)
            if place is None:
                return False
            begin = place + len(run)
        return bool(self._runs)


def _find(run: Sequence[frozenset[str]], words: Sequence[str], begin: int) -> int | None:
    """Return the first place from `begin` on where the words follow each other as in `run`."""
    for place in range(begin, len(words) - len(run) + 1):
        if all(words[place + step] in choices for step, choices in enumerate(run)):
            return place
    return None
