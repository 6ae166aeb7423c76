"""Work that may wait for the gap between two steps, in pieces: prefill and renewal.

Pure: generators and a clock. A generator yields before each of its pieces: the kind of the piece,
by which its time is predicted, or None where it has nothing to do before the next gap.
On CUDA a piece must end with a synchronisation, or its time is that of queuing it.
Engine thread only.
"""

import time
from collections.abc import Callable, Generator, Hashable

Pieces = Generator[str | None]

# The predicted time of a kind that did not fit is lowered each time, so that one slow measurement
# (the first one warms things up) does not keep it out for good: half after 23 gaps, about 2 s.
FORGIVEN_SHARE = 0.97
# How quickly a kind's predicted time follows pieces that were shorter than it.
FOLLOW_SHARE = 0.25


class BackgroundWork:
    """Work in the order it came; the oldest goes first, the others fill the time that it leaves."""

    def __init__(self, clock_s: Callable[[], float] = time.perf_counter) -> None:
        self._clock_s = clock_s
        self._work: dict[Hashable, Pieces] = {}
        self._next: dict[Hashable, str | None] = {}
        self._took_s: dict[str, float] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._work

    def add(self, key: Hashable, work: Pieces) -> None:
        """Queue work in place of any with this key. It runs at once up to its first yield."""
        self.cancel(key)
        self._work[key] = work
        self._advance(key)

    def cancel(self, key: Hashable) -> None:
        """Drop the work of this key, if there is any, and close its generator."""
        work = self._work.pop(key, None)
        if work is not None:
            self._next.pop(key, None)
            work.close()

    def run(self, gap_s: float) -> bool:
        """Run pieces for as long as the next one should end within `gap_s`. True: some are left.

        The first piece of its kind, whose time is unknown, runs whatever the gap.
        Raises a generator's error, which ends that generator alone.
        """
        ends_s = self._clock_s() + gap_s
        for key in list(self._work):
            if key in self._next and self._next[key] is None:
                self._advance(key)  # it waited for this gap
            while (kind := self._next.get(key)) is not None and self._fits(kind, ends_s):
                self._measure(key, kind)
        return bool(self._work)

    def _fits(self, kind: str, ends_s: float) -> bool:
        took_s = self._took_s.get(kind)
        if took_s is None or self._clock_s() + took_s <= ends_s:
            return True
        self._took_s[kind] = took_s * FORGIVEN_SHARE
        return False

    def _measure(self, key: Hashable, kind: str) -> None:
        begun_s = self._clock_s()
        self._advance(key)
        took_s = self._clock_s() - begun_s
        known_s = self._took_s.get(kind, took_s)
        self._took_s[kind] = max(took_s, known_s + (took_s - known_s) * FOLLOW_SHARE)

    def _advance(self, key: Hashable) -> None:
        """Run a generator up to its next yield; drop it if it fails."""
        try:
            self._next[key] = next(self._work[key])
        except StopIteration:
            self.cancel(key)
        except Exception:
            self.cancel(key)
            raise
