"""A mind on its way to take a session's place: it reads the session's own columns, then swaps.

Equal to a sequential replay: the opening, then the columns one by one. The tokens that are on their
way (acoustic delay) go along; Mimi, sampling and forced tokens stay as they are, so no frame is
missed and the sound goes on. Knows no reason and no pause. Engine thread only.
"""

from typing import Protocol

import numpy as np

from worker.engine.arrays import Tokens
from worker.engine.conversation.history import History
from worker.engine.network.language import Prefill
from worker.engine.network.memory import Memory, Snapshot

CAUGHT_UP_FRAMES = 3  # what is missed by fewer than this is read in the gap of the swap


class LmStates(Protocol):
    """What is needed of the step."""

    @property
    def memory(self) -> Memory:
        """The state of all slots."""
        ...

    def ahead(self, slot: int) -> Tokens:
        """What a slot's next steps will read."""
        ...


class Replay:
    """Reads the last `columns` of a slot's history after its opening; None: the opening alone."""

    def __init__(
        self,
        slot: int,
        mind: Prefill,
        opening: Snapshot | None,
        history: History,
        columns: int | None,
    ) -> None:
        self.slot = slot
        self._mind, self._opening, self._history = mind, opening, history
        self._fresh = columns is None
        count = history.count(slot)
        self._next = count if columns is None else max(0, count - columns)
        mind.begin(opening)
        if opening is None and (self._fresh or self._next):  # else history holds it
            mind.read(mind.initial)

    @property
    def behind(self) -> int:
        """How many of its session's columns it has not read."""
        return 0 if self._fresh else self._history.count(self.slot) - self._next

    @property
    def caught_up(self) -> bool:
        """Whether the rest can be read in the gap of the swap."""
        return self.behind < CAUGHT_UP_FRAMES and not self.outrun

    @property
    def outrun(self) -> bool:
        """Whether it can catch up no more: no room is left, or columns are gone."""
        if self._fresh:
            return False
        return self._next < self._history.oldest(self.slot) or self.behind > self._mind.room

    def read(self, most: int) -> None:
        """Read up to so many columns."""
        last = self._next + min(most, self.behind)
        if last > self._next:
            self._mind.read(self._history.read(self.slot, self._next, last))
            self._next = last

    def take_over(self, step: LmStates) -> None:
        """Read the rest and be the session's mind from its next frame on."""
        self.read(CAUGHT_UP_FRAMES)
        if self._fresh:
            self._history.clear(self.slot)
            if self._opening is None:
                self._history.append(self.slot, self._mind.initial[0])
        mind = self._mind.snapshot(step.ahead(self.slot), self._wills(step.memory))
        step.memory.load(self.slot, mind)

    def _wills(self, memory: Memory) -> Tokens:
        """What the next text tokens were before forcing, the next position first."""
        offset = int(memory.tensors["mind.transformer.offset"][self.slot])
        wills = memory.tensors["mind.wills"][self.slot].cpu().numpy()
        return np.roll(wills, -(offset % len(wills)))
