"""A short ring of one track's frames between the SDK's clock and the worker's grid. Pure.

The SDK delivers a frame about every 80 ms; the grid takes one every 80 ms. What the two clocks and
a busy machine do to each other must never become lasting delay.
"""

from collections import deque

from worker.engine.arrays import Pcm

RING_FRAMES = 3
SETTLE_TICKS = 25  # 2 s: a frame that has lain there that long is lag, not jitter


class Ring:
    """At most three frames of one track, oldest first. Called from one thread."""

    def __init__(self) -> None:
        self._frames: deque[Pcm] = deque()
        self._ticks_in_hand = 0
        self.dropped = 0

    def put(self, frame: Pcm) -> None:
        """Add a frame; the oldest goes first when the ring is full."""
        self._frames.append(frame)
        if len(self._frames) > RING_FRAMES:
            self._drop()

    def take(self) -> Pcm | None:
        """Take the frame of this tick, or None, which counts as silence.

        Where a frame stays behind tick after tick, it is dropped: the person would be heard late
        for the rest of the call.
        """
        frame = self._frames.popleft() if self._frames else None
        self._ticks_in_hand = self._ticks_in_hand + 1 if self._frames else 0
        if self._ticks_in_hand >= SETTLE_TICKS:
            self._drop()
            self._ticks_in_hand = 0
        return frame

    def _drop(self) -> None:
        self._frames.popleft()
        self.dropped += 1
