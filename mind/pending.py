"""Sentences on their way to a voice: a few ahead of it, the rest held back. Pure.

When a person speaks, sentences that are held back are dropped, and the few that the voice has are
withdrawn. So a voice never has more than these to forget, and no gap between sentences.
"""

import uuid
from collections import deque
from collections.abc import Callable

from mind.events import Say


class PendingLines:
    """The lines of one room that have not ended, in order."""

    def __init__(self, give: Callable[[Say], None], ahead: int) -> None:
        """`give` hands a line to the voice; at most `ahead` lines at a time have not ended."""
        self._give = give
        self._ahead = ahead
        self._given: dict[str, Say] = {}
        self._held: deque[Say] = deque()

    @property
    def are_there(self) -> bool:
        """Whether a line has not ended."""
        return bool(self._given or self._held)

    def add(self, persona_id: str, sentence: str) -> None:
        """Say a sentence after those before it."""
        self._held.append(Say(uuid.uuid4().hex, persona_id, sentence))
        self.go_on()

    def ended(self, line_id: str) -> bool:
        """Note that a line has ended; False: it is unknown, or was withdrawn before.

        `go_on` gives the next, unless all are to be dropped.
        """
        return self._given.pop(line_id, None) is not None

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
        return given

    def drop_absent(self, persona_ids: set[str]) -> None:
        """Drop the lines of personas that are not among these: no voice will end them."""
        self._given = {
            key: say for key, say in self._given.items() if say.persona_id in persona_ids
        }
        self._held = deque(say for say in self._held if say.persona_id in persona_ids)
        self.go_on()
