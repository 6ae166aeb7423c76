"""How a step's frames are delivered to event loops."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from protocol.personas import Persona
from worker.engine.deliveries import Deliveries
from worker.engine.slots import Occupant, SlotFrame

PERSONA = Persona(name="test", label="Test")
SESSIONS = 6


class Loop:
    """An event loop that runs its calls when a test says so, and counts how often it is woken."""

    def __init__(self) -> None:
        self.wakes = 0
        self.is_closed = False
        self._calls: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def call_soon_threadsafe(
        self, function: Callable[..., None], *arguments: object, context: None
    ) -> None:
        """Add a call from another thread."""
        if self.is_closed:
            raise RuntimeError("Event loop is closed")
        self.wakes += 1
        self.call_soon(function, *arguments)

    def call_soon(self, function: Callable[..., None], *arguments: object) -> None:
        """Add a call."""
        self._calls.append((function, arguments))

    def run(self) -> None:
        """Run all calls, and those that they add."""
        while self._calls:
            function, arguments = self._calls.pop(0)
            function(*arguments)


def frame(index: int) -> SlotFrame:
    """Return a frame with an index that tells it from others."""
    return SlotFrame(np.zeros(4, dtype=np.float32), 0, 0, index, 0.0)


def session(number: int, loop: object, got: list[SlotFrame]) -> Occupant:
    """Return a session of this loop."""
    of = cast("asyncio.AbstractEventLoop | None", loop)
    return Occupant(PERSONA, got.append, loop=of, id=number, slot=number)


@given(
    st.lists(st.integers(0, 2), min_size=SESSIONS, max_size=SESSIONS),
    st.lists(st.sets(st.integers(0, SESSIONS - 1)), max_size=20),
    st.data(),
)
def test_every_frame_comes_in_order_with_one_wake_for_each_loop(
    loop_of: list[int], steps: list[set[int]], data: st.DataObject
) -> None:
    """Each step wakes each loop that has frames once, and frames come in order whenever it runs."""
    loops = [Loop(), Loop(), None]
    got: list[list[SlotFrame]] = [[] for _ in range(SESSIONS)]
    sessions = [session(n, loops[loop_of[n]], got[n]) for n in range(SESSIONS)]
    sent = [0] * SESSIONS
    deliveries = Deliveries()
    for step in steps:
        before = [loop.wakes if loop else 0 for loop in loops]
        for number in step:
            deliveries.add(sessions[number], frame(sent[number]))
            sent[number] += 1
        deliveries.send()
        for which, loop in enumerate(loops):
            if loop is not None:
                has_frames = any(loop_of[number] == which for number in step)
                assert loop.wakes - before[which] == has_frames
                if data.draw(st.booleans()):
                    loop.run()
    for loop in filter(None, loops):
        loop.run()

    assert [[each.index for each in frames] for frames in got] == [list(range(n)) for n in sent]


def test_a_closed_loop_stops_no_delivery_to_another() -> None:
    """A loop that was closed while the step ran does not keep frames from another loop."""
    closed, open_ = Loop(), Loop()
    closed.is_closed = True
    got: list[SlotFrame] = []
    deliveries = Deliveries()
    for number, loop in enumerate((closed, open_)):
        deliveries.add(session(number, loop, got), frame(number))
    deliveries.send()
    open_.run()

    assert [each.index for each in got] == [1]


async def test_a_delivery_that_fails_stops_no_other() -> None:
    """An error in one delivery is reported by the loop, and the next session gets its frame."""
    loop = asyncio.get_running_loop()
    reported: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    got: list[SlotFrame] = []
    deliveries = Deliveries()

    def fail(_: SlotFrame) -> None:
        raise ValueError("this session alone")

    failing = session(0, loop, [])
    failing.deliver = fail
    deliveries.add(failing, frame(0))
    deliveries.add(session(1, loop, got), frame(1))
    deliveries.send()
    await asyncio.sleep(0.01)

    assert [each.index for each in got] == [1]
    assert [type(each["exception"]) for each in reported] == [ValueError]
