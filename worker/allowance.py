"""How much of something is allowed: so much at once, and so much more with time. Pure."""

import time
from collections.abc import Callable


class Allowance:
    """A token bucket. Called from one thread at a time."""

    def __init__(
        self, most: float, per_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin full."""
        self._most = most
        self._per_s = per_s
        self._clock = clock
        self._left = most
        self._seen_s = clock()

    def take(self, amount: float = 1.0) -> bool:
        """Take so much if it is there; False, and nothing is taken, if it is not."""
        now_s = self._clock()
        self._left = min(self._most, self._left + (now_s - self._seen_s) * self._per_s)
        self._seen_s = now_s
        if self._left < amount:
            return False
        self._left -= amount
        return True
