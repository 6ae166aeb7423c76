"""Patterns of people's words: words in order, alternatives, and gaps. Pure.

A pattern is found anywhere in a sentence: `open * sunday|sundays` in "When do you open on Sunday?".
Case, accents, punctuation and short forms do not count, so typed text and a speech recogniser's
match alike. No regular expressions: any operator can write a pattern, and none can take exponential
time.
"""

import re
import unicodedata
from collections.abc import Sequence

GAP = "*"
Words = tuple[str, ...]  # one, or those of a short form
IS = "what|who|where|when|why|how|that|it|there|here|he|she"  # of others, "'s" is a possession
SHORT_FORMS = (
    (r"\bcan'?t\b|\bcannot\b", "can not"),
    (r"\bwon't\b", "will not"),
    (r"\b(do|does|did|is|are|was|could|would|should|have|has)n'?t\b", r"\1 not"),
    (rf"\b({IS})'s\b|\b(what|who|where|that|there|how)s\b", r"\1\2 is"),
    (r"\b(?:i'm|im)\b", "i am"),
    (r"\b(i|you|we|they)'ve\b", r"\1 have"),
    (r"\b(you|we|they)'re\b", r"\1 are"),
    (r"\b(i|you|we|they|he|she|it|that)'ll\b", r"\1 will"),
)


def words_of(text: str) -> list[str]:
    """Return the words of a text, in small letters without accents and punctuation.

    English short forms are written out: "what's" is `what is`. Other apostrophes and hyphens join:
    "Wi-Fi" is `wifi`.
    """
    text = plain(text)
    for short, long in SHORT_FORMS:
        text = re.sub(short, long, text)
    return re.findall(r"\w+", re.sub(r"(?<=\w)['`-](?=\w)", "", text))


def plain(text: str) -> str:
    """Return a text in small letters without accents, and with one kind of apostrophe."""
    folded = unicodedata.normalize("NFKD", text.casefold()).casefold().replace("\u2019", "'")
    return "".join(each for each in folded if not unicodedata.combining(each))


class Phrase:
    """A pattern, ready to be compared."""

    def __init__(self, pattern: str) -> None:
        """Read a pattern: words, `|` between alternatives of one word, `*` for any words."""
        runs: list[list[frozenset[Words]]] = [[]]
        for token in re.sub(r"\s*\|\s*", "|", pattern).split():
            if token == GAP:
                runs.append([])
                continue
            choices = {words for each in token.split("|") if (words := tuple(words_of(each)))}
            if choices:
                runs[-1].append(frozenset(choices))
        self._runs = [run for run in runs if run]
        self.weight = sum(min(map(len, each)) for run in self._runs for each in run)

    def matches(self, words: Sequence[str]) -> bool:
        """Return whether the pattern's words stand in a sentence's words, in order."""
        begin: int | None = 0
        for run in self._runs:
            begin = None if begin is None else _end_of(run, words, begin)
        return bool(self._runs) and begin is not None


def _end_of(run: Sequence[frozenset[Words]], words: Sequence[str], begin: int) -> int | None:
    """Return the first place from `begin` on before which words follow each other as in `run`."""
    places = set(range(begin, len(words)))
    for choices in run:
        places = {
            place + len(choice)
            for place in places
            for choice in choices
            if tuple(words[place : place + len(choice)]) == choice
        }
    return min(places, default=None)
