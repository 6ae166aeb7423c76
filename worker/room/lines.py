"""The lines that one persona is to say, in order, each whole or not at all. Room's event loop.

The engine is given one line at a time, the next when that one is over. A wish for a fresh memory
waits for its turn, so that no line loses its memory in the middle.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from protocol.commands import LINES_WAITING, TAKEN, Answer
from protocol.personas import Persona
from worker.engine.conversation.repertoire import Repertoire

GREETING = "Hello, how can I help you?"  # of a persona with `greeting`, at its first pause


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A line to say. `id`: of the command that asked for it; a greeting has none.

    Compared by identity: the same words may be said twice.
    """

    id: str
    text: str


FORGET = Line("", "")


class Lines:
    """What a persona is still to say."""

    def __init__(
        self,
        persona: Persona,
        repertoire: Repertoire | None,
        say: Callable[[Line], None],
        forget: Callable[[], None],
        ended: Callable[[Line, bool], None],
    ) -> None:
        """`say` and `forget` have it done; `ended` is told of each line whether all was said."""
        self._persona, self._repertoire = persona, repertoire
        self._say, self._forget, self._ended = say, forget, ended
        self._now: Line | None = None
        self._next: deque[Line] = deque()

    def __bool__(self) -> bool:
        """Tell whether a line is being said, or waits for its pause."""
        return self._now is not None

    def greet(self) -> None:
        """Say the greeting, where the persona has one and the model can say it."""
        if self._persona.greeting and (text := self._sayable(GREETING)) is not None:
            self._add(Line("", text))

    def ask(self, line: Line) -> Answer:
        """Say a line once those before it are over; or refuse, with the reason."""
        label = self._persona.label
        if len(self._next) >= LINES_WAITING:
            detail = f"{len(self._next)} lines wait to be said by {label}. Try again later."
            return Answer(refusal="too_many_lines", detail=detail)
        text = self._sayable(line.text)
        if text is None:
            return Answer(refusal="cannot_say", detail=self._choices())
        self._add(Line(line.id, text))
        return TAKEN

    def forget(self) -> None:
        """Get a fresh memory once the lines before it are over."""
        self._add(FORGET)

    def over(self, line: Line, whole: bool) -> None:
        """Note that a line has ended; that of one which was dropped before is no news."""
        if line is self._now:
            self._now = None
            self._ended(line, whole)
            self._go_on()

    def cut(self) -> None:
        """Note that the slot which said the present line was lost."""
        if self._now is not None:
            self.over(self._now, whole=False)

    def drop(self) -> None:
        """Drop all lines. A memory that was to be fresh after them is made so now."""
        waiting = [*self._next] if self._now is None else [self._now, *self._next]
        self._now = None
        self._next.clear()
        for line in waiting:
            if line is FORGET:
                self._forget()
            else:
                self._ended(line, False)

    def _add(self, line: Line) -> None:
        self._next.append(line)
        self._go_on()

    def _go_on(self) -> None:
        while self._now is None and self._next:
            line = self._next.popleft()
            if line is FORGET:
                self._forget()
            else:
                self._now = line
                self._say(line)

    def _sayable(self, text: str) -> str | None:
        """Give the text as the model can say it; None: it cannot."""
        if self._repertoire is None:
            return text
        return self._repertoire.find(text, self._persona.voice)

    def _choices(self) -> str:
        lines = self._repertoire.of(self._persona.voice) if self._repertoire else ()
        if not lines:
            return "text: this model has no words of its own and can say nothing that it is told."
        choices = " | ".join(lines)
        return f"text: this model can say only what it has learned. Choices: {choices}"
