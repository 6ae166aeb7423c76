"""The columns that each slot's model has read lately, in a ring for each slot, for renewals.

Pure: numpy only. Kept on the host, so that another LM state can read them. Engine thread only.
"""

import numpy as np
import numpy.typing as npt

from worker.engine.arrays import Mask, Tokens


class History:
    """The last `frames` columns of every slot, counted from the slot's last `clear`."""

    def __init__(self, capacity: int, frames: int, streams: int, highest_token: int) -> None:
        """Make room; tokens take two bytes each where `highest_token` allows."""
        dtype = np.int16 if highest_token <= np.iinfo(np.int16).max else np.int32
        self.frames = frames
        self.columns = np.zeros((capacity, frames, streams), dtype=dtype)
        self.counts: npt.NDArray[np.int64] = np.zeros(capacity, dtype=np.int64)

    def add(self, columns: Tokens, running: Mask) -> None:
        """Keep the columns `[B, streams]` of the slots that ran."""
        slots = np.flatnonzero(running)
        self.columns[slots, self.counts[slots] % self.frames] = columns[slots]
        self.counts[slots] += 1

    def append(self, slot: int, *columns: Tokens) -> None:
        """Keep some columns `[streams]` of one slot."""
        for column in columns:
            self.columns[slot, self.counts[slot] % self.frames] = column
            self.counts[slot] += 1

    def count(self, slot: int) -> int:
        """Return how many columns the slot has read since it was cleared, kept or not."""
        return int(self.counts[slot])

    def read(self, slot: int, first: int, last: int) -> Tokens:
        """Return columns `first` to before `last`, `[last - first, streams]`; all must be kept."""
        assert self.oldest(slot) <= first <= last <= self.count(slot), (slot, first, last)
        return self.columns[slot, np.arange(first, last) % self.frames].astype(np.int64)

    def oldest(self, slot: int) -> int:
        """Return the number of the oldest column that is still kept."""
        return max(0, self.count(slot) - self.frames)

    def clear(self, slot: int) -> None:
        """Forget a slot's columns."""
        self.counts[slot] = 0

    def move(self, source: int, target: int) -> None:
        """Copy a session's columns to its new slot."""
        self.columns[target] = self.columns[source]
        self.counts[target] = self.counts[source]
