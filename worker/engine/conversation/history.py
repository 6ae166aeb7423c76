"""What every slot's model has read lately: 1 + n_q small integers per frame, a ring for each slot.

Pure: numpy only, no clock. Kept on the host, so that a session can be read again by another mind
(`renewal.py`). Knows no meaning of a token. Engine thread only.
"""

import numpy as np
import numpy.typing as npt

from worker.engine.arrays import Mask, Tokens


class History:
    """The last `frames` columns of every slot, counted from the slot's last `clear`."""

    def __init__(self, capacity: int, frames: int, streams: int, card: int) -> None:
        """Make room; `card` is the highest token there is, which decides the width in memory."""
        width = np.int16 if card <= np.iinfo(np.int16).max else np.int32
        self._ring = np.zeros((capacity, frames, streams), dtype=width)
        self._count: npt.NDArray[np.int64] = np.zeros(capacity, dtype=np.int64)

    @property
    def size_bytes(self) -> int:
        """Bytes it takes, whatever the calls' length."""
        return self._ring.nbytes

    def add(self, columns: Tokens, running: Mask) -> None:
        """Keep the columns `[B, streams]` of the slots that ran."""
        slots = np.flatnonzero(running)
        self._ring[slots, self._count[slots] % self._ring.shape[1]] = columns[slots]
        self._count[slots] += 1

    def append(self, slot: int, column: Tokens) -> None:
        """Keep one slot's column `[streams]`."""
        self._ring[slot, self._count[slot] % self._ring.shape[1]] = column
        self._count[slot] += 1

    def count(self, slot: int) -> int:
        """How many columns the slot has read since it was cleared, kept or not."""
        return int(self._count[slot])

    def read(self, slot: int, first: int, last: int) -> Tokens:
        """Columns `first` to before `last`, `[last - first, streams]`; they must still be kept."""
        assert self.oldest(slot) <= first <= last <= self.count(slot), (slot, first, last)
        return self._ring[slot, np.arange(first, last) % self._ring.shape[1]].astype(np.int64)

    def oldest(self, slot: int) -> int:
        """Number of the oldest column that is still kept."""
        return max(0, self.count(slot) - self._ring.shape[1])

    def clear(self, slot: int) -> None:
        """Forget a slot's columns."""
        self._count[slot] = 0

    def move(self, source: int, target: int) -> None:
        """Let a session's columns follow it to another slot."""
        self._ring[target] = self._ring[source]
        self._count[target] = self._count[source]
