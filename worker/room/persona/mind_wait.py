"""The time for which a persona's model stands still, so that its mind can decide first.

Room's event loop. The model gets no frames, so that for it no time passes: after it was hushed for
as long, it would not answer by itself any more.
"""

import asyncio

WAIT_MOST_S = 2.0


class MindWait:
    """Counts the frames that the model did not get."""

    def __init__(self) -> None:
        self.frames = 0
        self._loop = asyncio.get_running_loop()
        self._until_s = 0.0  # by the loop's clock

    def begin(self) -> None:
        """Wait from now on, for some seconds at most."""
        self._until_s = self._loop.time() + WAIT_MOST_S

    def end(self) -> None:
        """Go on: the mind has decided, or a person speaks."""
        self._until_s = 0.0

    def takes(self) -> bool:
        """Return whether this tick's frame is not to reach the model, and count it."""
        is_on = self._loop.time() < self._until_s
        self.frames += is_on
        return is_on
