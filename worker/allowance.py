"""A limit on how often something may happen. Pure."""

import time
from collections.abc import Callable


class Allowance:
    """A token bucket. Called from one thread at a time."""

    def __init__(
        self, most: float, per_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with `most` tokens; `per_s` are added each second, up to `most`."""
        self._most = most
        self._per_s = per_s
        self._clock = clock
        self._left = most
        self._updated_s = clock()

    def take(self, amount: float = 1.0) -> bool:
        """Take tokens and return True; take none and return False if there are too few."""
        now_s = self._clock()
        self._left = min(self._most, self._left + (now_s - self._updated_s) * self._per_s)
        self._updated_s = now_s
        if self._left < amount:
            return False
        self._left -= amount
        return True
