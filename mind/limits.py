"""The limits of a mind: time, calls, sizes and warnings. Pure: clocks are given."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mind.events import DETAILS, Trouble, TroubleCode

Clock = Callable[[], float]
CUT_MARK = " … (cut)"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a mind. Defaults suit a conversation: a later answer is of no use to it."""

    answer_within_s: float = 20.0  # all model calls and tools of one answer
    call_within_s: float = 10.0  # one call of the model, from request to its last piece
    load_within_s: float = 300.0  # of the model by its server: Ollama's own limit
    wake_after_s: float = 240.0  # without an answer; Ollama unloads a model after 300 s
    tool_connect_s: float = 10.0  # to a tool server over HTTP
    tool_start_s: float = 60.0  # of a command, which may install itself first, as with npx and uvx
    tool_wait_s: float = 3.0  # of an answer, for tool servers that are not yet connected
    calls_per_minute: int = 20  # of the model, in one room
    rounds: int = 4  # calls of the model for one answer
    tool_calls: int = 6  # for one answer
    result_characters: int = 4000
    answer_characters: int = 1200  # that are said, of one answer
    call_bytes: int = 1_000_000  # that a server may send for one request
    filler_after_s: float = 1.0
    lines_ahead: int = 2  # lines that a voice is given before it has said them
    first_retry_s: float = 2.0
    last_retry_s: float = 60.0
    server_retry_s: float = 600.0  # that a server may ask for, at most
    warn_every_s: float = 60.0  # the same warning, at most


def cut(text: str, most: int) -> str:
    """Return a text of at most `most` characters, with a mark where some were cut off."""
    if len(text) <= most:
        return text
    return (text[: max(most - len(CUT_MARK), 0)] + CUT_MARK)[:most]


class CallBudget:
    """At most so many calls in any period of 60 s."""

    def __init__(self, per_minute: int, clock: Clock = time.monotonic) -> None:
        """Begin with no call made."""
        self._most = per_minute
        self._clock = clock
        self._calls_s: deque[float] = deque()

    def take(self) -> bool:
        """Count a call; False, and nothing is counted, where it would be one too many."""
        now_s = self._clock()
        while self._calls_s and now_s - self._calls_s[0] >= 60.0:
            self._calls_s.popleft()
        if len(self._calls_s) >= self._most:
            return False
        self._calls_s.append(now_s)
        return True


class Warnings:
    """One warning for a trouble that lasts, not one for each time that it shows."""

    def __init__(self, every_s: float, clock: Clock = time.monotonic) -> None:
        """Begin with nothing warned of."""
        self._every_s = every_s
        self._clock = clock
        self._last_s: dict[TroubleCode, float] = {}
        self._open: set[TroubleCode] = set()

    def trouble(self, code: TroubleCode) -> Trouble | None:
        """Return the warning; None where the room has had it, and nothing worked since."""
        now_s = self._clock()
        if code in self._open or now_s - self._last_s.get(code, float("-inf")) < self._every_s:
            return None
        self._open.add(code)
        self._last_s[code] = now_s
        return Trouble(code, DETAILS[code])

    def worked(self, part: Literal["mind", "tool"]) -> None:
        """Warn again of a trouble of this part that comes later."""
        self._open = {code for code in self._open if not code.startswith(f"{part}_")}
