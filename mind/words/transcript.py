"""The words said and typed in a room, by name, as the language model reads them. Pure."""

from collections import deque
from dataclasses import dataclass

from protocol.text import clean_line

TURNS_KEPT = 60
TEXT_KEPT = 6000  # characters of all turns
TURN_LIMIT = 1500
NAME_LIMIT = 40


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that one speaker said or typed."""

    speaker: str
    text: str
    typed: bool = False

    def __str__(self) -> str:
        """Show the turn as one line."""
        return f"{self.speaker}{' (typed)' if self.typed else ''}: {self.text}"


class Transcript:
    """The last turns of a room. A speaker can forge no other's turn: each is one line."""

    def __init__(self) -> None:
        """Begin empty."""
        self._turns: deque[Turn] = deque(maxlen=TURNS_KEPT)
        self._size = 0

    def add(self, speaker: str, text: str, *, typed: bool = False) -> Turn | None:
        """Add a turn and return it; None, and nothing is added, for a text without a word."""
        name = " ".join(clean_line(speaker).replace(":", " ").split())[:NAME_LIMIT] or "Person"
        line = " ".join(clean_line(text).split())[:TURN_LIMIT]
        if not line:
            return None
        turn = Turn(name, line, typed)
        if len(self._turns) == TURNS_KEPT:
            self._forget_first()
        self._turns.append(turn)
        self._size += len(str(turn))
        while self._size > TEXT_KEPT:
            self._forget_first()
        return turn

    def text(self) -> str:
        """Give all turns, a line each, the oldest first."""
        return "\n".join(map(str, self._turns))

    def _forget_first(self) -> None:
        self._size -= len(str(self._turns.popleft()))
