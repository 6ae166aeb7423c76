"""Work that may wait for the gap between two steps: prefill, renewal, in pieces.

Pure: generators and a clock. A chore is a generator that yields before each of its pieces: the kind
of the piece, by which its time is foretold, or None where it has nothing to do before the next gap.
On CUDA a piece must end with a synchronisation, or its time is that of queuing it.
Engine thread only.
"""

import time
from collections.abc import Callable, Generator, Hashable

Chore = Generator[str | None]

# A kind that did not fit is thought a little shorter each time, so that one slow measurement (the
# first one warms things up) does not keep it out for good: half after 23 gaps, about 2 s.
FORGIVEN_SHARE = 0.97
# How quickly a kind's foretold time follows pieces that were shorter than it.
FOLLOW_SHARE = 0.25


class BackgroundWork:
    """Chores in the order they came; the oldest goes first, the others fill what it leaves."""

    def __init__(self, clock_s: Callable[[], float] = time.perf_counter) -> None:
        self._clock_s = clock_s
        self._chores: dict[Hashable, Chore] = {}
        self._next: dict[Hashable, str | None] = {}
        self._took_s: dict[str, float] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._chores

    def add(self, key: Hashable, chore: Chore) -> None:
        """Queue a chore; the one that had this key is cancelled. What precedes its first yield
        runs at once.
        """
        self.cancel(key)
        self._chores[key] = chore
        self._advance(key)

    def cancel(self, key: Hashable) -> None:
        """Drop the chore of this key, if there is one; its generator is closed."""
        chore = self._chores.pop(key, None)
        if chore is not None:
            self._next.pop(key, None)
            chore.close()

    def run(self, gap_s: float) -> bool:
        """Run pieces for as long as the next one should end within `gap_s`. True: some are left.

        The first piece of its kind, whose time nobody knows, runs whatever the gap.
        Raises what a chore raises, which ends that chore alone.
        """
        ends_s = self._clock_s() + gap_s
        for key in list(self._chores):
            if key in self._next and self._next[key] is None:
                self._advance(key)  # it waited for this gap
            while (kind := self._next.get(key)) is not None and self._fits(kind, ends_s):
                self._measure(key, kind)
        return bool(self._chores)

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
        """Run a chore up to its next yield; one that fails is dropped."""
        try:
            self._next[key] = next(self._chores[key])
        except StopIteration:
            self.cancel(key)
        except Exception:
            self.cancel(key)
            raise
