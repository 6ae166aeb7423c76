"""The persona of a room that answers a person. Pure."""

import re
from collections.abc import Mapping

from mind.words.phrases import plain

WORD = re.compile(r"\w+(?:['-]\w+)*")
ARTICLES = ("the", "a", "an", "le", "la", "les")
FORMS = ("mr", "mrs", "ms", "miss", "sir", "madam", "monsieur", "madame")
TITLES = frozenset((*ARTICLES, *FORMS, "dr", "doctor", "prof", "professor"))


BEFORE_A_CALL = (
    r"(?:^|[,.!?;:]|\b(?:hi|hello|hey|ok|okay|so|and|but|well|now|thanks|thank you|please|dear"
    r"|good morning|good evening|good afternoon|bye|goodbye))\s*"
)
AFTER_A_CALL = (
    r"\s*(?:[,.!?;:]|$|(?:what|who|where|when|why|how|can|could|do|would|will|are|please|tell)\b)"
)


def first_name(label: str) -> str:
    """Return the name that people call a persona by; empty where its label has no word."""
    return next(iter(_names(label)), "")


def _names(label: str) -> list[str]:
    """Return a label's words without titles, if there are others."""
    words = WORD.findall(label)
    return [word for word in words if plain(word) not in TITLES] or words


def _places(label: str, text: str) -> tuple[int, int]:
    """Return where a text last calls a persona, and last names it; -1: nowhere."""
    words = [plain(each) for each in _names(label)]
    if not words:
        return -1, -1
    first, *others = words
    name = rf"\b{first}\b"
    called = rf"{BEFORE_A_CALL}{name}(?:\s+(?:{'|'.join(others)}))*{AFTER_A_CALL}"
    return _last(called, text), _last(name, text)


def _last(pattern: str, text: str) -> int:
    return max((found.start() for found in re.finditer(pattern, plain(text))), default=-1)


def named(text: str, labels: Mapping[str, str]) -> str | None:
    """Return the id of the persona that a text calls last, else names last; None: of none.

    "Chef, what would the teacher say?" calls the chef. A label's first name counts; case and
    accents do not, and titles are no names: people say "Zoe" for "Dr. Zoë Hill". A room's floor
    uses it, too, so that voice and mind agree (`worker.room.shared_floor`).
    """
    places = {each: _places(label, text) for each, label in labels.items()}
    best = max(places, key=places.__getitem__, default=None)
    return best if best is not None and max(places[best]) >= 0 else None


def addressed(words: str, labels: Mapping[str, str], floor: str | None) -> str | None:
    """Return the id of the persona that answers; None: there is no persona.

    `labels` maps each persona's id to its label, in the order of the room. The persona that the
    words call or name answers, else the one that has or last had the floor, else the first.
    """
    if (persona := named(words, labels)) is not None:
        return persona
    if floor in labels:
        return floor
    return next(iter(labels), None)
