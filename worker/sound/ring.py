"""A short queue of one track's frames between LiveKit's clock and the worker's grid. Pure.

LiveKit delivers a frame about every 80 ms; the grid takes one every 80 ms. The difference of the
two clocks, or a busy machine, must never become lasting delay.
"""

from collections import deque

from worker.engine.arrays import Pcm

RING_FRAMES = 3
SETTLE_TICKS = 25  # 2 s: a frame that stays behind for so long is lag, not jitter


class Ring:
    """Holds at most three frames of one track, oldest first. `put` may run on a second thread."""

    def __init__(self, settle_ticks: int = SETTLE_TICKS) -> None:
        """One frame may stay behind for less than `settle_ticks`."""
        self._settle_ticks = settle_ticks
        self._frames: deque[Pcm] = deque(maxlen=RING_FRAMES)
        self._ticks_behind = 0

    def put(self, frame: Pcm) -> None:
        """Add a frame; where the ring is full, drop the oldest."""
        self._frames.append(frame)

    def take(self) -> Pcm | None:
        """Take the frame of this tick; None counts as silence.

        A frame that stays behind for `settle_ticks`, a second one for `SETTLE_TICKS`, is dropped:
        otherwise the person would be heard late for the rest of the call.
        """
        frame = self._frames.popleft() if self._frames else None
        self._ticks_behind = self._ticks_behind + 1 if self._frames else 0
        if self._ticks_behind >= (self._settle_ticks if len(self._frames) < 2 else SETTLE_TICKS):
            self._frames.popleft()
            self._ticks_behind = 0
        return frame
