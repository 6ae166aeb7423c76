"""When what failed may be tried again: at once, then after waits that double. Not thread-safe."""

import time
from collections.abc import Callable

FIRST_S = 1.0
MOST_S = 30.0


class Retries:
    """Counts the failures of each, by name."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[str, tuple[int, float]] = {}  # name → times, when it may be tried again

    def failed(self, name: str) -> None:
        """It failed just now."""
        times = self._failed.get(name, (0, 0.0))[0] + 1
        wait_s = min(FIRST_S * 2.0 ** min(times - 1, 10), MOST_S)
        self._failed[name] = (times, self._clock() + wait_s)

    def due(self, name: str) -> bool:
        """Whether it may be tried now."""
        return self._clock() >= self._failed.get(name, (0, 0.0))[1]
