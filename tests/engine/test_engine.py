"""The engine's loop, over a fake step that answers with its input and a count of runs."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest

from harness.servers import wait_until
from protocol.personas import Persona
from worker.engine.arrays import Mask, Pcm
from worker.engine.conversation.say import Done
from worker.engine.engine import Engine
from worker.engine.model import Model, Remembered, StepOut
from worker.engine.slots import Full, Occupant, SlotFailed, SlotFrame
from worker.engine.timing import tick
from worker.frames import FRAME_S, FRAME_SAMPLES

PERSONA = Persona(name="test", label="Test")


class FakeStep:
    """A step that answers each row with its input, and the number of runs since its join."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.runs = np.zeros(capacity, dtype=np.int64)
        self.calls: list[str] = []
        self.runs_at_call: list[int] = []  # by all slots until then
        self.gate = threading.Event()
        self.gate.set()
        self.fail = False
        self.fails = ""  # the call that fails, for its slot only
        self.pieces = 0
        self.gaps_s: list[float] = []

    def join(self, slot: int, persona: Persona, remembered: Remembered | None = None) -> None:
        self._call(f"join {slot}")
        self.runs[slot] = 0

    def _call(self, call: str) -> None:
        self.calls.append(call)
        self.runs_at_call.append(int(self.runs.sum()))
        if call == self.fails:
            raise ValueError(f"{call} failed")

    def catch_up(self, slot: int, more: Remembered | None, done: Callable[[], None]) -> None:
        """Report at once that nothing is to be read."""
        done()

    def leave(self, slot: int) -> None:
        self.calls.append(f"leave {slot}")

    def move(self, source: int, target: int) -> None:
        self.calls.append(f"move {source} {target}")
        self.runs[target] = self.runs[source]

    def hush(self, slot: int, on: bool) -> None:
        self._call(f"hush {slot} {on}")

    def say(self, slot: int, text: str, done: Done) -> None:
        self.calls.append(f"say {slot} {text}")

    def drop_lines(self, slot: int, *, unless_begun: bool = False) -> None:
        self.calls.append(f"drop_lines {slot}")

    def forget(self, slot: int) -> None:
        self.calls.append(f"forget {slot}")

    def work(self, gap_s: float) -> bool:
        self.gaps_s.append(gap_s)
        if self.fails.startswith("work"):
            slot, self.fails = int(self.fails[-1]), ""
            raise SlotFailed(slot) from ValueError("the work failed")
        self.pieces = max(self.pieces - 1, 0)
        return self.pieces > 0

    def run(self, pcm: Pcm, exec_mask: Mask) -> StepOut:
        self.gate.wait(10)
        if self.fail:
            raise ValueError("the step failed")
        self.runs += exec_mask
        return StepOut(pcm.copy(), self.runs.copy(), self.runs.copy(), exec_mask.copy())


class Running:
    """An engine over a fake step."""

    def __init__(self, capacity: int = 2) -> None:
        self.step = FakeStep(capacity)
        self.failures: list[BaseException] = []
        self.engine = Engine(Model("fake", self.step, (), ()), self.failures.append)
        self.engine.start()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.step.gate.set()
        self.engine.stop()


def pcm(value: float) -> Pcm:
    """Return a frame of one value, which tells it from other frames."""
    return np.full(FRAME_SAMPLES, value, dtype=np.float32)


def into(frames: list[SlotFrame]) -> Callable[[SlotFrame], None]:
    """Return a receiver that appends frames to a list."""
    return frames.append


def test_each_frame_is_answered_once_and_in_order() -> None:
    """Each frame that is pushed has one answer, with its own token and index."""
    got: list[SlotFrame] = []
    with Running() as running:
        occupant = running.engine.join(PERSONA, into(got))
        for value in (1.0, 2.0):
            running.engine.push(occupant, pcm(value))
        wait_until(lambda: len(got) == 2, "two answers")

    assert [(f.pcm[0], f.text, f.index) for f in got] == [(1.0, 1, 0), (2.0, 2, 1)]


async def test_frames_are_delivered_on_the_sessions_loop() -> None:
    """A session with a loop gets its frames in that loop's thread, in order."""
    got: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
    with Running() as running:
        occupant = running.engine.join(
            PERSONA,
            lambda each: got.put_nowait((each.index, threading.get_ident())),
            loop=asyncio.get_running_loop(),
        )
        for value in (1.0, 2.0):
            running.engine.push(occupant, pcm(value))
        async with asyncio.timeout(10):
            answers = [await got.get(), await got.get()]

    assert answers == [(0, threading.get_ident()), (1, threading.get_ident())]


def test_a_step_under_way_delivers_to_neither_old_nor_new_occupant() -> None:
    """If a slot's occupant changes during a step, that step's frame is delivered to neither."""
    old_frames: list[SlotFrame] = []
    new_frames: list[SlotFrame] = []
    with Running(capacity=1) as running:
        old = running.engine.join(PERSONA, into(old_frames))
        running.step.gate.clear()
        running.engine.push(old, pcm(1.0))
        wait_until(lambda: not old.inbox, "the step to begin")
        running.engine.leave(old)
        new = running.engine.join(PERSONA, into(new_frames))
        running.step.gate.set()
        running.engine.push(new, pcm(2.0))
        wait_until(lambda: bool(new_frames), "the new occupant's answer")

    assert old_frames == []
    assert [(f.pcm[0], f.text) for f in new_frames] == [(2.0, 1)]


def test_slot_changes_reach_the_step_in_order() -> None:
    """A slot is left before it is joined again, also where both happen during one step."""
    with Running(capacity=1) as running:
        first = running.engine.join(PERSONA, into([]))
        wait_until(lambda: running.step.calls == ["join 0"], "the first join")
        running.step.gate.clear()
        running.engine.push(first, pcm(1.0))
        running.engine.leave(first)
        second = running.engine.join(PERSONA, into([]))
        running.step.gate.set()
        wait_until(lambda: len(running.step.calls) == 3, "leave and join")
        running.engine.leave(second)
        wait_until(lambda: len(running.step.calls) == 4, "the last leave")

    assert running.step.calls == ["join 0", "leave 0", "join 0", "leave 0"]


def test_the_highest_session_moves_into_a_free_slot() -> None:
    """When a session leaves, the one in the highest slot moves into its slot and misses no frame.

    Before sessions moved, one that stayed in slot 63 made every step compute 64 slots.
    """
    got: list[SlotFrame] = []
    with Running(capacity=3) as running:
        first, _, last = (running.engine.join(PERSONA, into(got)) for _ in range(3))
        running.engine.push(last, pcm(1.0))
        wait_until(lambda: len(got) == 1, "the first answer")
        running.engine.leave(first)
        wait_until(lambda: running.step.calls[-1] == "move 2 0", "the move")
        running.engine.hush(last, True)
        running.engine.push(last, pcm(2.0))
        wait_until(lambda: len(got) == 2, "the second answer")
        newcomer = running.engine.join(PERSONA, into([]))
        wait_until(lambda: running.step.calls[-1] == "join 2", "the newcomer")

    assert [(frame.pcm[0], frame.text) for frame in got] == [(1.0, 1), (2.0, 2)]
    assert running.step.calls[3:] == ["leave 0", "move 2 0", "hush 0 True", "join 2"]
    assert (last.slot, newcomer.slot) == (0, 2)


def test_a_session_without_a_frame_delays_no_other() -> None:
    """A slot without a frame does not run, and the others do not wait for it."""
    got: list[SlotFrame] = []
    with Running() as running:
        busy = running.engine.join(PERSONA, into(got))
        running.engine.join(PERSONA, into([]))
        running.engine.push(busy, pcm(1.0))
        wait_until(lambda: bool(got), "the answer")

        assert running.step.runs.tolist() == [1, 0]


def test_while_a_tick_gathers_a_join_waits_and_a_command_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between a tick's first frame and its step silence is forced, and a join waits: it is slow."""
    monkeypatch.setattr(tick, "GATHER_S", 0.06)
    monkeypatch.setattr(tick, "SPREAD_S", 0.06)
    got: list[SlotFrame] = []
    with Running(3) as running:
        engine, step = running.engine, running.step
        occupants = [engine.join(PERSONA, into(got)) for _ in range(2)]
        wait_until(lambda: len(step.calls) == 2, "two joins")
        engine.push(occupants[0], pcm(1.0))
        engine.join(PERSONA, into(got))
        engine.hush(occupants[0], True)
        wait_until(lambda: len(step.calls) == 4, "both")

    assert step.calls[2:] == ["hush 0 True", "join 2"]
    assert step.runs_at_call[2:] == [0, 1]


def test_a_receiver_that_raises_loses_only_its_own_slot() -> None:
    """A session whose receiver raises an error loses its slot, and the others go on."""
    got: list[SlotFrame] = []

    def broken(frame: SlotFrame) -> None:
        raise RuntimeError("Event loop is closed")

    with Running() as running:
        bad = running.engine.join(PERSONA, broken)
        good = running.engine.join(PERSONA, into(got))
        running.engine.push(bad, pcm(1.0))
        running.engine.push(good, pcm(2.0))
        wait_until(lambda: bool(got) and running.engine.free == 1, "the answer and the free slot")

    assert running.failures == []


def test_a_failed_step_is_reported_once() -> None:
    """An error in the step is handed to `on_failure` once."""
    with Running() as running:
        occupant = running.engine.join(PERSONA, into([]))
        running.step.fail = True
        running.engine.push(occupant, pcm(1.0))
        wait_until(lambda: bool(running.failures), "the failure")

    assert [str(error) for error in running.failures] == ["the step failed"]


def outlive(what: str) -> subprocess.CompletedProcess[str]:
    """Run an engine in a process of its own that does `what` in a step, watched by its watchdog."""
    program = f"""
import threading
from tests.engine import test_engine as t
from worker.engine.timing import hang_watch

hang_watch.HANGS_S, hang_watch.REARMS_S, hang_watch.IDLE_S = 0.4, 0.1, 0.2
with t.Running() as running:
    {what}
    occupant = running.engine.join(t.PERSONA, lambda _: None)
    running.engine.push(occupant, t.pcm(1.0))
    threading.Event().wait(2)
print("alive")
"""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("running.step.gate.clear()", "in run"),
        ("running.step.work = lambda gap_s: threading.Event().wait()", "in _use_gap"),
    ],
)
def test_a_hung_step_ends_the_process(what: str, where: str) -> None:
    """A step or a gap that never ends makes the process end with a traceback of that place."""
    ended = outlive(what)
    assert ended.returncode == 1
    assert "alive" not in ended.stdout
    assert where in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("what", ["running.step.fail = True", "pass"])
def test_a_process_without_work_is_not_watched(what: str) -> None:
    """A process whose step failed, or whose session sends nothing, is not ended."""
    ended = outlive(what)
    assert ended.returncode == 0, ended.stderr
    assert "alive" in ended.stdout


def test_a_join_beyond_the_capacity_raises_full() -> None:
    """A join beyond the capacity raises `Full` and occupies nothing."""
    with Running(capacity=1) as running:
        running.engine.join(PERSONA, into([]))
        with pytest.raises(Full, match=r"^all 1 slots are taken$"):
            running.engine.join(PERSONA, into([]))

        assert running.engine.used == 1


def test_background_work_is_done_in_gaps() -> None:
    """Pieces of work run between steps, each with the time that it has; every frame is answered."""
    got: list[SlotFrame] = []
    with Running() as running:
        running.step.pieces = 5
        occupant = running.engine.join(PERSONA, into(got))
        for value in (1.0, 2.0, 3.0):
            running.engine.push(occupant, pcm(value))
        wait_until(lambda: len(got) == 3 and running.step.pieces == 0, "answers and pieces")

    assert all(0 < gap_s <= FRAME_S for gap_s in running.step.gaps_s)


def test_the_engine_asks_for_no_work_where_none_waits() -> None:
    """Without background work the engine asks for pieces at most three times per frame."""
    got: list[SlotFrame] = []
    with Running() as running:
        occupant = running.engine.join(PERSONA, into(got))
        running.engine.push(occupant, pcm(1.0))
        wait_until(lambda: bool(got), "the answer")
        asked = len(running.step.gaps_s)
        running.engine.push(occupant, pcm(2.0))
        wait_until(lambda: len(got) == 2, "the next answer")

    assert asked <= 3


def test_the_engine_is_too_slow_when_its_99th_percentile_is() -> None:
    """After steps that took 90 % of a frame's time `too_slow` is true, once a session runs."""
    with Running() as running:
        for _ in range(8):
            running.engine.window.add(0.9 * FRAME_S + 0.001)
        before = running.engine.too_slow
        running.engine.join(PERSONA, into([]))

        assert (before, running.engine.too_slow) == (False, True)


def test_a_few_slow_steps_do_not_make_the_engine_too_slow() -> None:
    """A hundredth of a minute's steps may be slow, also in the first minute."""
    with Running() as running:
        for slow in [True] * 7 + [False] * 120:
            running.engine.window.add(1.0 if slow else 0.01)
        running.engine.join(PERSONA, into([]))

        assert not running.engine.too_slow


@pytest.mark.parametrize("fails", ["join 1", "hush 1 True", "work for 1"])
def test_a_failure_for_one_slot_ends_only_its_session(fails: str) -> None:
    """A session whose join, order or work fails is told and its slot freed; others go on."""
    got, lost = list[SlotFrame](), list[str]()
    with Running() as running:
        running.step.fails = fails
        healthy = running.engine.join(PERSONA, into(got), lambda: lost.append("healthy"))
        failing = running.engine.join(PERSONA, into([]), lambda: lost.append("failing"))
        running.engine.hush(failing, True)
        running.engine.push(healthy, pcm(1.0))
        running.engine.push(failing, pcm(1.0))
        wait_until(lambda: bool(lost and got and "leave 1" in running.step.calls), "the loss")
        running.engine.push(healthy, pcm(2.0))
        wait_until(lambda: len(got) == 2, "the other's next frame")
        again = running.engine.join(PERSONA, into(got))

    assert lost == ["failing"]
    assert again.slot == 1
    assert not running.failures


def test_work_that_fails_for_a_session_that_left_costs_the_next_one_nothing() -> None:
    """Background work that fails for a session which has left loses no slot that was taken anew."""
    got: list[SlotFrame] = []
    lost: list[str] = []
    with Running(capacity=1) as running:
        engine, joined = running.engine, list[Occupant]()
        first = engine.join(PERSONA, into([]))

        def work(gap_s: float) -> bool:
            running.step.work = lambda gap_s: False
            engine.leave(first)
            joined.append(engine.join(PERSONA, into(got), lambda: lost.append("second")))
            raise SlotFailed(0) from ValueError("the work failed")

        running.step.work = work
        engine.push(first, pcm(1.0))
        wait_until(lambda: bool(joined), "the work fails")
        engine.push(joined[0], pcm(2.0))
        wait_until(lambda: bool(got or lost), "an answer")

    assert (len(got), lost) == (1, [])


def test_commands_reach_only_their_own_session() -> None:
    """Commands reach the step in order; one for a session that left is dropped."""
    with Running(capacity=1) as running:
        old = running.engine.join(PERSONA, into([]))
        running.engine.hush(old, True)
        running.engine.say(old, "hello", lambda whole: None)
        running.engine.drop_lines(old)
        running.engine.forget(old)
        wait_until(lambda: len(running.step.calls) == 5, "the orders")
        running.engine.leave(old)
        running.engine.join(PERSONA, into([]))
        running.engine.hush(old, False)
        wait_until(lambda: len(running.step.calls) == 7, "the next join")

    orders = ["hush 0 True", "say 0 hello", "drop_lines 0", "forget 0"]
    assert running.step.calls[1:5] == orders
    assert running.step.calls[5:] == ["leave 0", "join 0"]
