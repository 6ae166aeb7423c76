"""The result of one check. Pure."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARN = "warn"  # it works with limitations
    FAIL = "fail"  # it does not work until it is repaired


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check, and advice. The check's name is before the dot of `code`."""

    code: str
    state: State
    found: str
    advice: str = ""

    @property
    def check(self) -> str:
        """The name of the check."""
        return self.code.partition(".")[0]

    def line(self) -> str:
        """Return the finding as text, the advice on a second line."""
        text = f"{self.state.upper():<4}  {self.check:<14} {self.found}"
        return f"{text}\n{'':21}→ {self.advice}" if self.advice else text

    def as_json(self) -> dict[str, Any]:
        """Return the finding as JSON for dashboards."""
        return {"check": self.check, **asdict(self)}


def ok(code: str, found: str) -> Finding:
    """Return a finding without fault."""
    return Finding(code, State.OK, found)


def warn(code: str, found: str, advice: str) -> Finding:
    """Return a finding with a limitation."""
    return Finding(code, State.WARN, found, advice)


def fail(code: str, found: str, advice: str) -> Finding:
    """Return a finding with a fault."""
    return Finding(code, State.FAIL, found, advice)
