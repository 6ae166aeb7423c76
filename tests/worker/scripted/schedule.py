"""The schedule: when each persona wants to speak, in a file that a test writes. Pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

SCHEDULE_FILE = "SCHEDULE_FILE"  # the environment's name of the file's path
PAD, END_OF_PAD = 0, 1
VOCABULARY = (  # tokens 2, 3, …
    *("la", "Chef", "Astronaut", "Teacher"),
    *("Hello,", "how", "can", "I", "help", "you?"),  # the greeting
    *("Dinner", "is", "ready.", "We", "have", "soup", "and", "bread."),
    *("Sunday:", "11", "in", "the", "morning", "to", "3", "afternoon"),  # of an MCP server
    *("One.", "Two.", "Three.", "My", "name", "Kim."),
)
WORD_EVERY = 4  # frames


@dataclass(frozen=True, slots=True)
class SpeechPlan:
    """When a persona wants to speak: from frame `at` after the schedule was written.

    It speaks for `speaks` frames, rests for `rest` frames and speaks again; None is without end. A
    persona that is silenced still wants to speak, as a model does.
    """

    at: int = 0
    speaks: int | None = None
    rest: int | None = None
    word: str = "la"
    hz: float = 440.0


TALKS = SpeechPlan(at=12, speaks=28, rest=22)  # two seconds of talk, two of silence, and again


class Schedule:
    """The file: the test writes it, and the model reads it when it has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, plans: Mapping[str, SpeechPlan]) -> None:
        """Give each named persona its plan from the next frame on; others want nothing."""
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps({name: asdict(plan) for name, plan in plans.items()}))
        draft.replace(self.path)

    def version(self) -> int:
        """Return a number that changes with each writing; 0 before the first."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return 0
        return status.st_ino ^ status.st_mtime_ns

    def read(self) -> dict[str, SpeechPlan]:
        """Return the plans that were written last."""
        return {
            name: SpeechPlan(**plan) for name, plan in json.loads(self.path.read_text()).items()
        }
