"""When a failed attempt may be repeated. Pure: clocks are given."""

import math
import time
from collections.abc import Callable


class Retry:
    """When something that failed may be tried again: each time after twice as long."""

    def __init__(
        self,
        first_s: float,
        last_s: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        apart_s: float = math.inf,
    ) -> None:
        """Begin ready. A failure `apart_s` after the last wait was over is the first again."""
        self._first_s, self._last_s, self._apart_s = first_s, last_s, apart_s
        self._clock = clock
        self._wait_s = 0.0
        self._not_before_s = -math.inf

    @property
    def ready(self) -> bool:
        """Return whether it may be tried now."""
        return self._clock() >= self._not_before_s

    def failed(self, at_least_s: float = 0.0) -> None:
        """Wait longer than after the last failure, and no less than `at_least_s`.

        Of several that were under way together, only the first counts.
        """
        if not self.ready:
            return
        now_s = self._clock()
        if now_s - self._not_before_s >= self._apart_s:
            self.worked()
        self._wait_s = min(max(self._first_s, 2.0 * self._wait_s), self._last_s)
        self._not_before_s = now_s + max(self._wait_s, at_least_s)

    def worked(self) -> None:
        """Forget the failures."""
        self._wait_s, self._not_before_s = 0.0, -math.inf
