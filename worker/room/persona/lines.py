"""The queue of lines that one persona is to say, each whole or not at all. Room's event loop.

The engine gets one line at a time, and the next when that one has ended. A `forget` waits for its
turn in the same queue, so that no line loses its memory in the middle.
"""

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from protocol.commands import LINES_WAITING, TAKEN, Answer
from protocol.personas import Persona
from worker.engine.conversation.repertoire import Repertoire


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A line to say. Compared by identity: the same words may be said twice."""

    id: str  # of the command that asked for it; empty for a greeting
    text: str
    is_minds: bool = False  # given by a mind: it begins only while no person speaks


class LineQueue:
    """Gives a persona's lines to the engine one after another."""

    def __init__(
        self,
        persona: Persona,
        repertoire: Repertoire | None,
        say: Callable[[Line], None],
        forget: Callable[[], None],
        drop_unbegun: Callable[[], None],
        on_ended: Callable[[Line, bool], None],
    ) -> None:
        """`say`, `forget` and `drop_unbegun` have the engine do it.

        `on_ended(line, was_whole)` is called once for each line that was added.
        """
        self._persona, self._repertoire = persona, repertoire
        self._say, self._forget, self._on_ended = say, forget, on_ended
        self._drop_unbegun = drop_unbegun
        self._current: Line | None = None
        self._withdrawn: Line | None = None  # the current one, if it was
        self._is_held = False
        self._waiting: deque[Line | None] = deque()  # None: forget

    @property
    def is_active(self) -> bool:
        """Return whether the engine has a line that has not ended."""
        return self._current is not None

    @property
    def waiting(self) -> tuple[tuple[str, str], ...]:
        """Return id and text of each line that is not said yet, but for those of a mind."""
        lines = [self._current, *self._waiting]
        return tuple((each.id, each.text) for each in lines if each and not each.is_minds)

    def add_greeting(self) -> None:
        """Add the greeting, where the persona has one and the model can say it."""
        greeting = self._persona.greeting
        if greeting and (text := self._sayable(greeting)) is not None:
            self._add(Line("", text))

    def add(self, line: Line) -> Answer:
        """Say a line after those before it, or refuse it with the reason."""
        if len(self._waiting) >= LINES_WAITING:
            return Answer(
                refusal="too_many_lines",
                detail=f"{len(self._waiting)} lines wait to be said by {self._persona.label}. "
                "Try again later.",
            )
        text = self._sayable(line.text)
        if text is None:
            return Answer(refusal="cannot_say", detail=self._refusal_detail())
        self._add(replace(line, text=text))
        return TAKEN

    def add_forget(self) -> None:
        """Renew the model's memory after the lines before it."""
        self._add(None)

    def hold(self, is_held: bool) -> None:
        """Begin no line of a mind while a person speaks; drop one that the engine has to begin."""
        self._is_held = is_held
        if is_held and self._current is not None and self._current.is_minds:
            self._drop_unbegun()
        self._give_next()

    def withdraw(self, line_ids: Collection[str]) -> None:
        """Drop these lines where they have not begun; the end of such a line is not reported."""
        self._waiting = deque(
            line for line in self._waiting if line is None or line.id not in line_ids
        )
        if self._current is not None and self._current.id in line_ids:
            self._withdrawn = self._current
            self._drop_unbegun()
        self._give_next()

    def end(self, line: Line, was_whole: bool) -> None:
        """Note that the engine has ended a line, and go on; ignore a line that was dropped."""
        if line is self._current:
            self._current = None
            if was_whole or line is not self._withdrawn:
                self._on_ended(line, was_whole)
            self._give_next()

    def cut_off_current(self) -> None:
        """Note that the slot which said the current line was lost, and go on."""
        if self._current is not None:
            self.end(self._current, was_whole=False)

    def hand_over(self) -> None:
        """Drop all lines without a report: another host says them."""
        self._current = None
        self._waiting.clear()

    def drop_all(self) -> None:
        """Drop all lines; a `forget` that waited for them is done now."""
        dropped = [self._current, *self._waiting] if self._current else [*self._waiting]
        self._current = None
        self._waiting.clear()
        for line in dropped:
            if line is None:
                self._forget()
            else:
                self._on_ended(line, False)

    def _add(self, line: Line | None) -> None:
        self._waiting.append(line)
        self._give_next()

    def _give_next(self) -> None:
        while self._current is None and self._waiting:
            line = self._waiting[0]
            if self._is_held and line is not None and line.is_minds:
                return
            self._waiting.popleft()
            if line is None:
                self._forget()
            else:
                self._current = line
                self._say(line)

    def _sayable(self, text: str) -> str | None:
        """Return the text as the model can say it; None where it cannot."""
        if self._repertoire is None:
            return text
        return self._repertoire.find(text, self._persona.voice)

    def _refusal_detail(self) -> str:
        lines = self._repertoire.of(self._persona.voice) if self._repertoire else ()
        if not lines:
            return "text: this model cannot say any given line."
        return f"text: this model can only say lines that it learned. Choices: {' | '.join(lines)}"
