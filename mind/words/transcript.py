"""The words said and typed in a room, by name, as the language model reads them. Pure."""

from collections import deque
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from mind.limits import cut
from protocol.text import clean_line

TURNS_KEPT = 60
TEXT_KEPT = 6000  # characters of all turns
TURN_LIMIT = 1500
NAME_LIMIT = 40
BROKEN_OFF = "broken off"
CALL_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that one speaker said or typed."""

    speaker: str
    text: str
    mark: Literal["", " (typed)", " (function)"]

    def __str__(self) -> str:
        """Show the turn as one line."""
        return f"{self.speaker}{self.mark}: {self.text}"


class Transcript:
    """The last turns of a room. A speaker can forge no other's turn: each is one line."""

    def __init__(self) -> None:
        """Begin empty."""
        self.count = 0  # of turns, kept or not
        self._turns: deque[Turn] = deque(maxlen=TURNS_KEPT)
        self._size = 0
        self._calls: dict[str, Turn] = {}  # by id, of the answer that is under way

    def add(self, speaker: str, text: str, *, typed: bool = False) -> Turn | None:
        """Add a turn and return it; None, and nothing is added, for a text without a word."""
        line = " ".join(clean_line(text).split())[:TURN_LIMIT]
        if not line:
            return None
        turn = Turn(_name(speaker), line, " (typed)" if typed else "")
        self._append(turn)
        return turn

    def called(self, persona: str, call_id: str, call: str) -> None:
        """Add a call of a function for a persona; until `ended` it counts as broken off.

        Results stay out: they are data of the answer that asked for them.
        """
        short = cut(" ".join(clean_line(call).split()), CALL_LIMIT)
        turn = Turn(_name(persona), f"{short} → {BROKEN_OFF}", " (function)")
        self._append(turn)
        self._calls[call_id] = turn

    def ended(self, call_id: str, *, ok: bool) -> None:
        """Note that a call gave a result, or none."""
        if (turn := self._calls.pop(call_id, None)) is None:  # so many turns came meanwhile
            return
        place = next(at for at, each in enumerate(self._turns) if each is turn)
        call = turn.text.removesuffix(BROKEN_OFF)
        self._turns[place] = ended = replace(turn, text=f"{call}{'done' if ok else 'no result'}")
        self._size += len(str(ended)) - len(str(turn))

    def _append(self, turn: Turn) -> None:
        if len(self._turns) == TURNS_KEPT:
            self._forget_first()
        self._turns.append(turn)
        self.count += 1
        self._size += len(str(turn))
        while self._size > TEXT_KEPT:
            self._forget_first()

    def text(self, after: int = 0) -> str:
        """Return the turns after the first `after`, a line each, the oldest first."""
        gone = self.count - len(self._turns)
        return "\n".join(map(str, islice(self._turns, max(0, after - gone), None)))

    def _forget_first(self) -> None:
        first = self._turns.popleft()
        self._size -= len(str(first))
        self._calls = {key: turn for key, turn in self._calls.items() if turn is not first}


def _name(speaker: str) -> str:
    return " ".join(clean_line(speaker).replace(":", " ").split())[:NAME_LIMIT] or "Person"
