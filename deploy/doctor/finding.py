"""What one look at the machine found. Pure."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"  # it works, but not as well as it could, or not for everybody
    FAIL = "fail"  # it does not work until somebody does something


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked (before the dot of `code`), what was found, what to do about it."""

    code: str
    state: State
    found: str
    advice: str = ""

    @property
    def check(self) -> str:
        """What was checked."""
        return self.code.partition(".")[0]

    def line(self) -> str:
        """For people; the advice on a line of its own."""
        text = f"{self.state.upper():<4}  {self.check:<14} {self.found}"
        return f"{text}\n{'':21}→ {self.advice}" if self.advice else text

    def as_json(self) -> dict[str, Any]:
        """For dashboards."""
        return {"check": self.check, **asdict(self)}


def ok(code: str, found: str) -> Finding:
    """All is well."""
    return Finding(code, State.OK, found)


def warn(code: str, found: str, advice: str) -> Finding:
    """It could be better."""
    return Finding(code, State.WARN, found, advice)


def fail(code: str, found: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(code, State.FAIL, found, advice)
