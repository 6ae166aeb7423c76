"""The schedule of wishes: what each persona wants when, in a file that a test writes. Pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

SCHEDULE_FILE = "SCHEDULE_FILE"  # the environment's name of the file's path
PAD, END_OF_PAD = 0, 1
VOCABULARY = (  # token 2, 3, …
    *("la", "Chef", "Astronaut", "Teacher"),
    *("Hello,", "how", "can", "I", "help", "you?"),  # the greeting
    *("Dinner", "is", "ready.", "We", "have", "soup", "and", "bread."),
    *("Sunday:", "11", "in", "the", "morning", "to", "3", "afternoon"),  # of an MCP server
    *("One.", "Two.", "Three.", "My", "name", "Kim."),
)
WORD_EVERY = 4  # frames


@dataclass(frozen=True, slots=True)
class Wish:
    """From frame `at` after the schedule was written it wants to speak, for `speaks` frames.

    Hushed it goes on wanting, as a model does. Once it has spoken it is content for `rest` frames,
    then it wants again; None: for ever.
    """

    at: int = 0
    speaks: int | None = None
    rest: int | None = None
    word: str = "la"
    hz: float = 440.0


TALKS = Wish(at=12, speaks=28, rest=22)  # two seconds of talk, two of silence, and again


class Schedule:
    """The file. The test writes it, the model reads it when it has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, wishes: Mapping[str, Wish]) -> None:
        """From the next frame on each persona has this wish, by its name; others have none."""
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps({name: asdict(wish) for name, wish in wishes.items()}))
        draft.replace(self.path)

    def version(self) -> int:
        """A number that changes with each writing; 0 before the first."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return 0
        return status.st_ino ^ status.st_mtime_ns

    def read(self) -> dict[str, Wish]:
        """The wishes that were written last."""
        return {name: Wish(**wish) for name, wish in json.loads(self.path.read_text()).items()}
