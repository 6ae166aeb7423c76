"""Frames that came together, on their way to the event loops of their sessions. One thread."""

import asyncio

from worker.engine.slots import Deliver, Occupant, SlotFrame
from worker.loops import call_on_loop


class Deliveries:
    """Collects frames and wakes each loop once: each wake hands the interpreter over."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.AbstractEventLoop, list[tuple[Deliver, SlotFrame]]] = {}

    def add(self, occupant: Occupant, frame: SlotFrame) -> None:
        """Deliver a frame: with the next `send` on the occupant's loop, at once without one."""
        if occupant.loop is None:
            occupant.deliver(frame)
        else:
            self._waiting.setdefault(occupant.loop, []).append((occupant.deliver, frame))

    def send(self) -> None:
        """Pass all frames on, in their order; those of a closed loop are lost."""
        for loop, frames in self._waiting.items():
            call_on_loop(loop, _deliver, loop, frames)
        self._waiting = {}


def _deliver(loop: asyncio.AbstractEventLoop, frames: list[tuple[Deliver, SlotFrame]]) -> None:
    """Deliver frames on their loop, each by a call of its own: one that fails stops no other."""
    for deliver, frame in frames:
        loop.call_soon(deliver, frame)
