"""A step that gives each row its frame back and keeps what it was asked."""

from collections.abc import Callable
from typing import Any

import numpy as np

from protocol.personas import Persona
from worker.engine.arrays import Mask, Pcm
from worker.engine.conversation.say import Done
from worker.engine.model import Model, Remembered, StepColumns, StepOut

LATER = "later"  # a line that is said as a whole once another one is asked for


class ScriptedStep:
    """Text: the frames since the join. Columns: the slot's positions. Lines end as they say."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.calls: list[tuple[Any, ...]] = []
        self.fails = ""  # the call that fails, once
        self._runs = np.zeros(capacity, dtype=np.int64)
        self._waiting: list[tuple[int, Done]] = []

    def join(self, slot: int, persona: Persona, remembered: Remembered | None = None) -> None:
        self._runs[slot] = 0
        self._call("join", slot, persona.name, remembered)

    def leave(self, slot: int) -> None:
        self._call("leave", slot)
        self._end(slot, False)

    def move(self, source: int, target: int) -> None:
        self._runs[target] = self._runs[source]
        self._waiting = [(target if at == source else at, done) for at, done in self._waiting]

    def hush(self, slot: int, on: bool) -> None:
        self._call("hush", slot, on)

    def say(self, slot: int, text: str, done: Done) -> None:
        self._call("say", slot, text)
        self._end(slot, True)
        self._waiting.append((slot, done))
        if text != LATER:
            self._end(slot, True)

    def catch_up(self, slot: int, more: Remembered | None, done: Callable[[], None]) -> None:
        self._call("catch_up", slot, more)
        done()

    def drop_lines(self, slot: int, *, unless_begun: bool = False) -> None:
        self._call("drop_lines", slot, unless_begun)
        self._end(slot, False)

    def forget(self, slot: int) -> None:
        self._call("forget", slot)

    def work(self, gap_s: float) -> bool:
        return False

    def run(self, pcm: Pcm, exec_mask: Mask) -> StepOut:
        before = self._runs.copy()
        self._runs += exec_mask
        columns = StepColumns(np.stack([before, self._runs], axis=1), before, self._runs.copy())
        text = self._runs.copy()
        return StepOut(pcm.copy(), text, text + 100, exec_mask.copy(), columns)

    def model(self) -> Model:
        """Return the model of this step."""
        return Model("scripted", self, (None, "▁hello"), ())

    def _call(self, name: str, *arguments: Any) -> None:
        self.calls.append((name, *arguments))
        if name == self.fails:
            self.fails = ""
            raise ValueError(f"{name} failed")

    def _end(self, slot: int, was_whole: bool) -> None:
        """End the lines that wait in a slot."""
        ended = [done for at, done in self._waiting if at == slot]
        self._waiting = [each for each in self._waiting if each[0] != slot]
        for done in ended:
            done(was_whole)
