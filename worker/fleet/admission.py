"""Admission: slots kept between the acceptance of a job or a WebSocket client and its start.

Called from the main loop (reserve) and from threads of `room_process` (took, release); holds one
lock, briefly.
"""

import threading
import time
from collections.abc import Callable

HOLD_S = 15.0  # LiveKit assigns within 7.5 s or never (livekit-agents 1.8.9 worker.py)


class JobAdmission:
    """Counts free slots, less those that are kept for accepted jobs and clients."""

    def __init__(
        self,
        free_slots: Callable[[], int],
        too_slow: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._free_slots = free_slots
        self._too_slow = too_slow
        self._clock = clock
        self._held: dict[str | int, tuple[int, float]] = {}
        self._lock = threading.Lock()
        self.open = True

    def free(self) -> int:
        with self._lock:
            return self._free()

    def reserve(self, kept_for: str | int, slots: int) -> bool:
        """Keep slots for who is about to be accepted; return whether so many are free."""
        with self._lock:
            if not self.open or self._free() < slots:
                return False
            self._held[kept_for] = (slots, self._clock() + HOLD_S)
            return True

    def took(self, kept_for: str | int) -> None:
        """Keep one slot less: it was taken from the engine, which counts it from now on."""
        with self._lock:
            slots, until_s = self._held.get(kept_for, (0, 0.0))
            if slots > 1:
                self._held[kept_for] = (slots - 1, until_s)
            else:
                self._held.pop(kept_for, None)

    def release(self, kept_for: str | int) -> None:
        """Keep nothing for this one any more: it has all its slots, or gave them up."""
        with self._lock:
            self._held.pop(kept_for, None)

    def _free(self) -> int:
        if self._too_slow():
            return 0
        now_s = self._clock()
        self._held = {key: held for key, held in self._held.items() if held[1] > now_s}
        return max(self._free_slots() - sum(slots for slots, _ in self._held.values()), 0)
