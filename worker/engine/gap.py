"""The gap between two steps: recognition of people's words, then background work.

Each piece should end before the next frames are due. Engine thread only.
"""

from collections.abc import Callable

from worker.engine import metrics
from worker.engine.model import Model


class Gap:
    """Uses the time that a step leaves of a frame."""

    def __init__(
        self, model: Model, left_s: Callable[[], float], fill_hole: Callable[[], bool]
    ) -> None:
        """`left_s` returns the seconds until the next frames are due; 0: a frame or a call waits.

        `fill_hole` makes the slots denser and returns whether it took time.
        """
        self._step, self._listeners = model.step, model.recognition and model.recognition.listeners
        self._left_s, self._fill_hole = left_s, fill_hole
        self._is_work_left = False

    @property
    def has_work(self) -> bool:
        """Whether something is left for the next gap."""
        return self._is_work_left or bool(self._listeners and self._listeners.waits)

    def use(self, *, after_step: bool) -> None:
        """Do all work that fits, once: the rest did not fit, and asking again would be polling.

        Raises `SlotFailed`.
        """
        if self._listeners and not self._listeners.use_gap(self._left_s) and after_step:
            metrics.RECOGNITION_PUT_OFF.inc()
        left_s = self._left_s()
        if left_s > 0 and self._fill_hole():
            left_s = self._left_s()
        self._is_work_left = True
        if left_s > 0:
            self._is_work_left = self._step.work(left_s)
