"""A persona of a room, as its mind knows it. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PersonaInRoom:
    """A persona that may answer: its id in the room, its label and prompt, and its mind's name."""

    id: str
    label: str
    prompt: str = ""
    mind: str | None = None
