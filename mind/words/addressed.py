"""The persona of a room that answers a person. Pure."""

import re
from collections.abc import Mapping

from mind.words.phrases import plain

WORD = re.compile(r"\w+(?:['-]\w+)*")
ARTICLES = ("the", "a", "an", "le", "la", "les")
FORMS = ("mr", "mrs", "ms", "miss", "sir", "madam", "monsieur", "madame")
TITLES = frozenset((*ARTICLES, *FORMS, "dr", "doctor", "prof", "professor"))


def last_mention(label: str, text: str) -> int | None:
    """Return where a text last names a persona by its label's first name; None: nowhere.

    Case and accents do not count, and titles are no names: people say "Zoe" for "Dr. Zoë Hill".
    """
    words = WORD.findall(plain(label))
    names = [word for word in words if word not in TITLES] or words
    if not names:
        return None
    places = [found.start() for found in re.finditer(rf"\b{names[0]}\b", plain(text))]
    return places[-1] if places else None


def last_named(labels: Mapping[str, str], text: str) -> str | None:
    """Return the id of the persona that a text names last, of these labels by id; None: of none.

    A room's floor uses it, too, so that voice and mind agree (`worker.room.shared_floor`).
    """
    named = {
        place: persona_id
        for persona_id, label in labels.items()
        if (place := last_mention(label, text)) is not None
    }
    return named[max(named)] if named else None


def addressed(words: str, labels: Mapping[str, str], floor: str | None) -> str | None:
    """Return the id of the persona that answers; None: there is no persona.

    `labels` maps each persona's id to its label, in the order of the room. The persona that the
    words name last answers, else the one that has or last had the floor, else the first.
    """
    named = last_named(labels, words)
    if named is None and floor in labels:
        return floor
    return named or next(iter(labels), None)
