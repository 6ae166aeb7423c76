"""The LM state that reads a session's own columns for a renewal and then replaces the session's.

Equal to a sequential replay: the prompt state, then the columns one by one. Tokens that wait for
their delay go along; Mimi, sampling and forced tokens stay as they are, so no frame is missed.
Engine thread only.
"""

import numpy as np
import torch

from worker.engine.arrays import Tokens
from worker.engine.conversation.history import History
from worker.engine.network.language import Prefill
from worker.engine.network.memory import Memory, Snapshot

CAUGHT_UP_FRAMES = 3  # fewer missing columns than this are read in the gap of the swap


class Replay:
    """Reads the last `columns` of a slot's history after its prompt state `start`.

    `columns` None: the prompt state alone.
    """

    def __init__(
        self,
        slot: int,
        reader: Prefill,
        start: Snapshot | None,
        history: History,
        columns: int | None,
    ) -> None:
        self._slot = slot
        self._reader, self._history = reader, history
        self._bare = start is None  # not kept: it may be as large as a slot
        self._fresh = columns is None
        count = history.count(slot)
        self._next = count if columns is None else max(0, count - columns)
        reader.begin(start)
        if start is None and (self._fresh or self._next):  # otherwise the history holds it
            reader.read(reader.initial)

    @property
    def _behind(self) -> int:
        return 0 if self._fresh else self._history.count(self._slot) - self._next

    @property
    def caught_up(self) -> bool:
        """Whether the rest can be read in the gap of the swap."""
        return self._behind < CAUGHT_UP_FRAMES and not self.outrun

    @property
    def outrun(self) -> bool:
        """Whether it can no longer catch up: no room is left, or columns are gone."""
        if self._fresh:
            return False
        return self._next < self._history.oldest(self._slot) or self._behind > self._reader.room

    def read(self, most: int) -> None:
        """Read up to so many columns."""
        last = self._next + min(most, self._behind)
        if last > self._next:
            self._reader.read(self._history.read(self._slot, self._next, last))
            self._next = last

    def take_over(self, memory: Memory) -> None:
        """Read the rest and become the session's LM state from its next frame on."""
        self.read(CAUGHT_UP_FRAMES)
        if self._fresh:
            self._history.clear(self._slot)
            if self._bare:
                self._history.append(self._slot, self._reader.initial[0])
        memory.load(self._slot, self._reader.snapshot(*tokens_ahead(memory, self._slot)))


@torch.inference_mode()
def put_ahead(memory: Memory, slot: int, ahead: Tokens, *, least: int) -> None:
    """Let a slot's next steps read these columns `[T, 1 + n_q]`.

    An LM state that has read less than `least` positions counts as one that has: its first
    positions would read initial tokens instead.
    """
    offset = memory.tensors["lm.transformer.offset"]
    offset[slot] = max(least, int(offset[slot]))
    tokens, unforced = memory.tensors["lm.tokens"], memory.tensors["lm.unforced_text"]
    for n, column in enumerate(torch.from_numpy(ahead).to(tokens.device)):
        place = (int(offset[slot]) + n) % unforced.shape[1]
        tokens[slot, :, place] = column
        unforced[slot, place] = column[0]


def tokens_ahead(memory: Memory, slot: int) -> tuple[Tokens, Tokens]:
    """Return the tokens of a slot's next steps, `[ring, 1 + n_q]`, and unforced text, `[ring]`.

    Positions that are not there yet hold negative tokens or older ones.
    """
    offset = int(memory.tensors["lm.transformer.offset"][slot])
    tokens = memory.tensors["lm.tokens"][slot].cpu().numpy()
    unforced = memory.tensors["lm.unforced_text"][slot].cpu().numpy()
    shift = -(offset % len(unforced))
    return np.roll(tokens, shift, axis=1).T.copy(), np.roll(unforced, shift)
