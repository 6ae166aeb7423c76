"""The persona of a room that answers a person. Pure."""

import re
from collections.abc import Mapping


def last_mention(label: str, text: str) -> int | None:
    """Return where a text last names a persona by its label's first word; None: nowhere.

    A room's floor uses it, too, so that voice and mind agree (`worker.room.personas`).
    """
    first_name = re.escape(re.split(r"[\s,]", label.strip())[0])
    places = [found.start() for found in re.finditer(rf"\b{first_name}\b", text, re.IGNORECASE)]
    return places[-1] if places else None


def addressed(words: str, labels: Mapping[str, str], floor: str | None) -> str | None:
    """Give the id of the persona that answers; None: there is no persona.

    `labels` maps each persona's id to its label, in the order of the room. The persona that the
    words name last answers, else the one that has or last had the floor, else the first.
    """
    named = {
        place: persona_id
        for persona_id, label in labels.items()
        if (place := last_mention(label, words)) is not None
    }
    if named:
        return named[max(named)]
    if floor in labels:
        return floor
    return next(iter(labels), None)
