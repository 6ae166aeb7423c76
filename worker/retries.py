"""The times at which what has failed may be tried again, after waits that double."""

import time
from collections.abc import Callable

FIRST_S = 1.0
MOST_S = 30.0


class Retries:
    """Counts failures by name. Not thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, tuple[int, float]] = {}  # name → count, time of the next try

    def failed(self, name: str) -> None:
        """Note a failure: the next try is due after 1 s, 2 s, 4 s … 30 s."""
        count = self._failures.get(name, (0, 0.0))[0] + 1
        wait_s = min(FIRST_S * 2.0 ** min(count - 1, 10), MOST_S)
        self._failures[name] = (count, self._clock() + wait_s)

    def due(self, name: str) -> bool:
        """Return whether a try is due; one that never failed is."""
        return self._clock() >= self._failures.get(name, (0, 0.0))[1]
