"""The echo: a model that repeats what it hears and says no word.

Pure: numpy only. Tests a microphone, and measures what the transport alone costs.
"""

from collections.abc import Callable

import numpy as np

from protocol.personas import Persona
from worker.engine.arrays import Mask, Pcm
from worker.engine.conversation.repertoire import Repertoire
from worker.engine.conversation.say import Done
from worker.engine.model import Model, Remembered, StepOut

ECHO_CAPACITY = 64  # slots cost nothing here; as many as the largest GPU is asked to hold
PAD = 0  # the only token there is


class EchoStep:
    """A step that gives every row its own frame back. It remembers nothing between frames."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._loud = np.ones((capacity, 1), dtype=np.float32)  # 0: hushed

    @property
    def capacity(self) -> int:
        return self._capacity

    def join(self, slot: int, persona: Persona, remembered: Remembered | None = None) -> None:
        """Begin unhushed; an echo has no memory and no character."""
        self._loud[slot] = 1.0

    def catch_up(self, slot: int, more: Remembered | None, done: Callable[[], None]) -> None:
        """Be ready at once: there is no memory."""
        done()

    def leave(self, slot: int) -> None:
        """Do nothing: there is nothing to free."""

    def move(self, source: int, target: int) -> None:
        """Copy the hush, all that a slot has."""
        self._loud[target] = self._loud[source]

    def hush(self, slot: int, on: bool) -> None:
        """Give silence back, or sound again."""
        self._loud[slot] = 0.0 if on else 1.0

    def say(self, slot: int, text: str, done: Done) -> None:
        """Say nothing: an echo has no words of its own."""
        done(False)

    def drop_lines(self, slot: int, *, unless_begun: bool = False) -> None:
        """Do nothing: there are no lines."""

    def forget(self, slot: int) -> None:
        """Do nothing: there is no memory."""

    def work(self, gap_s: float) -> bool:
        """Do nothing: no work ever waits."""
        return False

    def run(self, pcm: Pcm, exec_mask: Mask) -> StepOut:
        """Give `pcm` `[B, 1920]` back; rows outside `exec_mask` are silent, not valid."""
        silence = np.full(self._capacity, PAD, dtype=np.int64)
        voice = np.where(exec_mask[:, None], pcm * self._loud, np.float32(0.0))
        return StepOut(
            pcm=voice, text=silence, unforced_text=silence.copy(), valid=exec_mask.copy()
        )


def echo_model(capacity: int | None = None) -> Model:
    """Make the echo, ready to run."""
    return Model(
        name="echo",
        step=EchoStep(capacity or ECHO_CAPACITY),
        pieces=(None,),
        padding=PAD,
        voices=(),
        repertoire=Repertoire({}),
        note="The echo repeats what it hears, to test a microphone and to measure the connection.",
    )
