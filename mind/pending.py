"""Sentences on their way to a voice: a few ahead of it, the rest held back. Pure.

When a person speaks, sentences that are held back are dropped, and the few that the voice has are
withdrawn. So a voice never has more than these to forget, and no gap between sentences.
"""

import uuid
from collections import deque
from collections.abc import Callable

from mind.events import LeftToVoice, Say, Unanswered


class PendingLines:
    """The lines of one room that have not ended, in order."""

    def __init__(self, give: Callable[[Say | LeftToVoice | Unanswered], None], ahead: int) -> None:
        """`give` hands a line to the voice; at most `ahead` lines at a time have not ended."""
        self._give = give
        self._ahead = ahead
        self._given: dict[str, Say] = {}
        self._held: deque[Say] = deque()
        self._sayable: set[str] = set()  # lines of the answer that were not refused, by id
        self._unless_said: LeftToVoice | Unanswered | None = None

    @property
    def are_there(self) -> bool:
        """Whether a line has not ended."""
        return bool(self._given or self._held)

    def add(self, persona_id: str, sentence: str, *, is_filler: bool = False) -> None:
        """Say a sentence after those before it; a filler is no part of the answer."""
        say = Say(uuid.uuid4().hex, persona_id, sentence)
        if not is_filler:
            self._sayable.add(say.line_id)
        self._held.append(say)
        self.go_on()

    def end_answer(self, unless_said: LeftToVoice | Unanswered) -> None:
        """Note that the answer is whole; give the event if none of its sentences can be said."""
        self._unless_said = unless_said
        self._give_if_unsaid()

    def ended(self, line_id: str, *, was_refused: bool) -> bool:
        """Note that a line has ended; False: it is unknown, or was withdrawn before.

        `go_on` gives the next, unless all are to be dropped.
        """
        if was_refused:
            self._sayable.discard(line_id)
            self._give_if_unsaid()
        return self._given.pop(line_id, None) is not None

    def _give_if_unsaid(self) -> None:
        if self._unless_said is not None and not self._sayable:
            self._give(self._unless_said)
            self._unless_said = None

    def go_on(self) -> None:
        """Give the voice as many lines as it may have."""
        while self._held and len(self._given) < self._ahead:
            say = self._held.popleft()
            self._given[say.line_id] = say
            self._give(say)

    def drop(self) -> tuple[str, ...]:
        """Drop all lines; return the ids of those that the voice has."""
        given = tuple(self._given)
        self._given.clear()
        self._held.clear()
        self._sayable.clear()
        self._unless_said = None
        return given

    def drop_absent(self, persona_ids: set[str]) -> None:
        """Drop the lines of personas that are not among these: no voice will end them."""
        self._given = {
            key: say for key, say in self._given.items() if say.persona_id in persona_ids
        }
        self._held = deque(say for say in self._held if say.persona_id in persona_ids)
        self.go_on()
