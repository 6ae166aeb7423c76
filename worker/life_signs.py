"""Whether a process of this worker hangs: that of speech recognition, or one of rooms. Pure.

A process that dies closes its connection; one that hangs sends nothing more. The thread that
recognises speech sends a sign of life before each turn, and every few seconds while there is none.
The usual patience is some fifty times what a turn takes on an idle machine.
"""

import math
import time
from collections.abc import Callable

LOOK_EVERY_S = 1.0
PATIENCE_S = 60.0
TIMES_SPEECH = 10.0  # and so many times the turn that is being recognised


class LifeSigns:
    """The signs of one process. Called from one thread."""

    def __init__(
        self, patience_s: float = PATIENCE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience_s, self._clock = patience_s, clock
        self._allowed_s = math.inf  # without a sign; it loads, which may be a long download
        self._silent_s = 0.0
        self._looked_s = clock()

    def take(self, speech_s: float) -> None:
        """Take a sign; before the next one a turn of so much speech is recognised."""
        self._allowed_s = self._patience_s + TIMES_SPEECH * speech_s
        self._silent_s = 0.0

    def is_hung(self) -> bool:
        """Return whether the next sign is overdue; to be asked each `LOOK_EVERY_S`.

        A longer time between two questions counts as no more than that: this process stood still
        itself, as in a stopped container, and the other one with it.
        """
        now_s = self._clock()
        self._silent_s += min(now_s - self._looked_s, LOOK_EVERY_S)
        self._looked_s = now_s
        return self._silent_s > self._allowed_s
