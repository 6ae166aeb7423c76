"""The engine as rooms of another process use it: through a connection it does what it does."""

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.servers import wait_until
from protocol.personas import Persona
from tests.worker.room_process.joined import Joined, joined
from tests.worker.room_process.scripted_step import LATER, ScriptedStep
from worker.engine.arrays import Pcm
from worker.engine.door import EngineDoor
from worker.engine.engine import Engine
from worker.engine.model import Remembered
from worker.engine.slots import Full, Occupant, SlotFrame
from worker.frames import FRAME_SAMPLES
from worker.room_process.messages import SlotLost

CHEF, TEACHER = (Persona(name=name, label=name.title()) for name in ("chef", "teacher"))
COLUMNS = Remembered(np.arange(6, dtype=np.int64).reshape(3, 2), seed=7, draws=3)
ROOMS = 3
CAPACITY = 2


def pcm(value: float) -> Pcm:
    """Return a frame of one value, which tells it from other frames."""
    return np.full(FRAME_SAMPLES, value, dtype=np.float32)


def told(frame: SlotFrame) -> tuple[Any, ...]:
    """Return what a frame says, without the time."""
    column = frame.column
    assert column is not None
    tokens = tuple(column.tokens.tolist())
    about = (frame.text, frame.unforced_text, frame.index, tokens, column.position, column.draws)
    return (float(frame.pcm[0]), len(frame.pcm), *about)


@contextmanager
def scripted(capacity: int = CAPACITY) -> Generator[tuple[ScriptedStep, Joined]]:
    """Yield a step, and the connection through which rooms reach it."""
    step = ScriptedStep(capacity)
    with joined(step.model()) as both:
        yield step, both


def does(step: ScriptedStep, *call: Any) -> None:
    """Wait until the step is asked something."""
    wait_until(lambda: call in step.calls, f"{call}", 10.0)


async def test_frames_come_back_in_order_on_the_sessions_loop() -> None:
    """A frame comes back on its session's loop, in order, with its number, column and time."""
    got: asyncio.Queue[tuple[SlotFrame, int]] = asyncio.Queue()
    began_s = asyncio.get_running_loop().time()
    with scripted() as (_, both):
        occupant = await asyncio.to_thread(
            both.remote.join,
            CHEF,
            lambda frame: got.put_nowait((frame, threading.get_ident())),
            loop=asyncio.get_running_loop(),
        )
        frames = list[SlotFrame]()
        async with asyncio.timeout(10):
            for value in (0.25, 0.5, 0.75):
                both.remote.push(occupant, pcm(value))
                frame, thread = await got.get()
                frames.append(frame)
                assert thread == threading.get_ident()

    assert [told(each) for each in frames] == [
        (0.25, FRAME_SAMPLES, 1, 101, 0, (0, 1), 0, 1),
        (0.5, FRAME_SAMPLES, 2, 102, 1, (1, 2), 1, 2),
        (0.75, FRAME_SAMPLES, 3, 103, 2, (2, 3), 2, 3),
    ]
    times_s = [each.arrived_s for each in frames]
    assert began_s <= times_s[0] <= times_s[1] <= times_s[2] <= asyncio.get_running_loop().time()


def test_the_facts_of_the_model_are_the_engines() -> None:
    """Rooms know the model's name and pieces without asking."""
    with scripted() as (_, both):
        assert both.remote.facts == both.engine.facts


def test_a_full_engine_refuses_with_its_own_sentence() -> None:
    """A join, and the question for a free slot, raise what the engine says where none is free."""
    with scripted(1) as (_, both):
        both.remote.refuse_if_full()
        occupant = both.remote.join(CHEF, lambda _: None)
        with pytest.raises(Full, match=r"^all 1 slots are taken$"):
            both.remote.join(TEACHER, lambda _: None)
        with pytest.raises(Full, match=r"^all 1 slots are taken$"):
            both.remote.refuse_if_full()
        both.remote.leave(occupant)
        both.remote.refuse_if_full()


def test_a_slot_that_was_kept_counts_once_as_soon_as_it_is_taken() -> None:
    """Who took a slot that was kept for it costs others none, and a heartbeat is due."""
    with scripted(3) as (_, both):
        both.admission.reserve("AJ_1", 2)
        free = [both.admission.free()]
        for _ in range(3):  # one more than were kept
            both.remote.join(CHEF, lambda _: None, kept_for="AJ_1")
            free.append(both.admission.free())

    assert (free, both.changes) == ([1, 1, 1, 0], 3)


def test_a_main_process_that_does_not_answer_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no answer comes in time, a join is refused, and the slot is freed once it is taken."""
    monkeypatch.setattr("worker.room_process.asking.ANSWER_WITHIN_S", 0.05)
    with scripted(1) as (_, both):
        post, withheld = both.rooms.post, list[Any]()
        both.remote._post = both.remote._asking._post = withheld.append  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(Full, match="does not answer"):
            both.remote.join(CHEF, lambda _: None)
        for each in withheld:
            post(each)
        wait_until(lambda: len(both.asked) == 2, "the join and the leave")
        wait_until(lambda: both.engine.free == 1, "the slot is free")


def test_what_a_persona_asks_reaches_the_step() -> None:
    """Each call reaches the step with its arguments and in its order."""
    with scripted() as (step, both):
        remote, ends = both.remote, list[Any]()
        occupant = remote.join(CHEF, lambda _: None, remembered=COLUMNS)
        remote.catch_up(occupant, COLUMNS, lambda: ends.append("caught up"))
        remote.catch_up(occupant, None, lambda: ends.append("nothing more"))
        remote.hush(occupant, True)
        remote.hush(occupant, False)
        remote.say(occupant, "hello", ends.append)
        remote.drop_lines(occupant)
        remote.drop_lines(occupant, unless_begun=True)
        remote.forget(occupant)
        does(step, "forget", 0)
        wait_until(lambda: len(ends) == 3, "each call ended")
        remote.leave(occupant)
        does(step, "leave", 0)

    names = ["join", "catch_up", "catch_up", "hush", "hush", "say"]
    names += ["drop_lines", "drop_lines", "forget", "leave"]
    assert [each[0] for each in step.calls] == names
    given = [each[2:] for each in step.calls]
    assert given[0][0] == "chef"
    for columns in (given[0][1], given[1][0]):
        assert np.array_equal(columns.tokens, COLUMNS.tokens)
        assert (columns.seed, columns.draws) == (COLUMNS.seed, COLUMNS.draws)
    assert given[2:] == [(None,), (True,), (False,), ("hello",), (False,), (True,), (), ()]
    assert ends == ["caught up", "nothing more", True]


def test_a_line_ends_as_the_step_says() -> None:
    """A line that was dropped ends with False, one that was said with True."""
    with scripted() as (_, both):
        occupant, ends = both.remote.join(CHEF, lambda _: None), list[tuple[str, bool]]()
        both.remote.say(occupant, LATER, lambda whole: ends.append(("dropped", whole)))
        both.remote.drop_lines(occupant)
        both.remote.say(occupant, "now", lambda whole: ends.append(("now", whole)))
        wait_until(lambda: len(ends) == 2, "both lines end")

    assert ends == [("dropped", False), ("now", True)]


def test_leaving_ends_lines_and_frees_the_slot() -> None:
    """Lines of a persona that leaves end with False, once; nothing more comes, its slot is free."""
    with scripted(1) as (step, both):
        ends, got = list[bool](), list[SlotFrame]()
        occupant = both.remote.join(CHEF, got.append)
        both.remote.say(occupant, LATER, ends.append)
        does(step, "say", 0, LATER)
        both.remote.leave(occupant)
        assert ends == [False]
        both.remote.push(occupant, pcm(0.5))
        both.remote.leave(occupant)
        does(step, "leave", 0)
        other = both.remote.join(TEACHER, got.append)
        both.remote.push(other, pcm(1.0))
        wait_until(lambda: bool(got), "the other's frame")

    assert ends == [False]
    assert [told(each)[:3] for each in got] == [(1.0, FRAME_SAMPLES, 1)]


def test_a_call_without_a_slot_ends_at_once() -> None:
    """What a persona asks after its slot is gone is not waited for."""
    with scripted() as (_, both):
        occupant, ends = both.remote.join(CHEF, lambda _: None), list[Any]()
        both.remote.leave(occupant)
        both.remote.say(occupant, "hello", ends.append)
        both.remote.catch_up(occupant, None, lambda: ends.append("caught up"))

        assert ends == [False, "caught up"]


@pytest.mark.parametrize("is_noted", [False, True])
def test_a_call_whose_slot_is_lost_as_it_is_made_ends(is_noted: bool) -> None:
    """A line ends once where its slot is lost just before, or just after, it has been noted."""
    with scripted() as (_, both):
        occupant, ends = both.remote.join(CHEF, lambda _: None), list[bool]()

        class Calls(dict[int, Any]):
            def __setitem__(self, call: int, done: Any) -> None:
                if is_noted:
                    super().__setitem__(call, done)
                both.remote.take_lost(SlotLost(occupant.id))  # as another thread does
                if not is_noted:
                    super().__setitem__(call, done)

        both.remote._occupants[occupant.id] = occupant, Calls()  # pyright: ignore[reportPrivateUsage]
        both.remote.say(occupant, LATER, ends.append)

    assert ends == [False]


@pytest.mark.parametrize("fails", ["join", "hush", "say", "forget"])
def test_a_failed_slot_is_told_once(fails: str) -> None:
    """A persona whose slot fails is told once, its lines end, and it can join again."""
    with scripted(1) as (step, both):
        step.fails, ends, lost, got = fails, list[bool](), list[str](), list[SlotFrame]()
        occupant = both.remote.join(CHEF, got.append, lambda: lost.append("chef"))
        both.remote.say(occupant, LATER, ends.append)
        both.remote.hush(occupant, True)
        both.remote.forget(occupant)
        wait_until(lambda: bool(lost), "the loss")
        both.remote.leave(occupant)
        again = both.remote.join(CHEF, got.append, lambda: lost.append("again"))
        both.remote.push(again, pcm(0.5))
        wait_until(lambda: bool(got), "a frame of the new slot")
        both.remote.leave(again)
        wait_until(lambda: both.engine.free == 1, "the slot is free")

        assert not both.slots._occupants  # pyright: ignore[reportPrivateUsage]
    assert (lost, ends) == (["chef"], [False])


def test_the_end_of_the_process_frees_its_slots() -> None:
    """Once a process of rooms has ended, its slots are free, and those of others go on."""
    with scripted(3) as (_, both):
        for persona in (CHEF, TEACHER):
            both.remote.join(persona, lambda _: None)
        other = both.engine.join(CHEF, lambda _: None)
        both.slots.close()
        both.slots.close()

        assert both.engine.free == 2
        both.engine.leave(other)


def script(engine: EngineDoor, wait_for: Callable[[Callable[[], bool]], None]) -> list[Any]:
    """Use an engine as rooms do; return the frames, how lines ended and what was refused."""
    chef, teacher, ends = list[SlotFrame](), list[SlotFrame](), list[Any]()
    first = engine.join(CHEF, chef.append)
    second = engine.join(TEACHER, teacher.append, remembered=COLUMNS)
    for value in range(3):
        engine.push(first, pcm(value / 8))
        engine.push(second, pcm(-value / 8))
        wait_for(lambda: len(chef) == len(teacher) == value + 1)  # noqa: B023 - it waits here
    try:
        engine.join(CHEF, chef.append)
    except Full as error:
        ends.append(str(error))
    engine.say(second, "hello", ends.append)
    wait_for(lambda: len(ends) == 2)
    engine.leave(first)
    third = engine.join(CHEF, chef.append)
    engine.push(third, pcm(0.5))
    engine.push(second, pcm(1.0))
    wait_for(lambda: len(chef) == len(teacher) == 4)
    engine.leave(second)
    engine.leave(third)
    return [[told(each) for each in frames] for frames in (chef, teacher)] + [ends]


def test_rooms_find_the_same_engine_in_both_processes() -> None:
    """The same calls give the same frames, ends and refusals through a connection as without."""

    def wait_for(holds: Callable[[], bool]) -> None:
        wait_until(holds, "the script goes on", 10.0, 0.001)

    near = Engine(ScriptedStep(CAPACITY).model(), lambda error: None)
    near.start()
    try:
        directly = script(near, wait_for)
    finally:
        near.stop()
    with scripted() as (_, both):
        assert script(both.remote, wait_for) == directly


class Room:
    """One persona that joins, leaves, hears and says lines, in any order."""

    def __init__(self, engine: EngineDoor) -> None:
        self._engine = engine
        self._occupant: Occupant | None = None
        self.asked, self.ends, self.frames = 0, list[bool](), list[SlotFrame]()

    def act(self, do: str) -> None:
        """Do something that is possible now."""
        if do == "join" and self._occupant is None:
            self.frames = []
            try:
                self._occupant = self._engine.join(CHEF, self.frames.append)
            except Full:
                return
        elif self._occupant is None:
            return
        elif do == "leave":
            self._engine.leave(self._occupant)
            self._occupant = None
        elif do == "push":
            self._engine.push(self._occupant, pcm(0.5))
        elif do in ("say", LATER):
            self.asked += 1
            self._engine.say(self._occupant, do, self.ends.append)


ACTS = st.tuples(
    st.integers(0, ROOMS - 1), st.sampled_from(["join", "leave", "push", "say", LATER])
)


@settings(max_examples=40)
@given(st.lists(ACTS, max_size=40))
def test_any_order_of_calls_leaves_nothing_behind(acts: list[tuple[int, str]]) -> None:
    """In whatever order rooms call, each line ends once, frames are in order, no slot stays."""
    with scripted() as (_, both):
        rooms = [Room(both.remote) for _ in range(ROOMS)]
        for number, do in acts:
            rooms[number].act(do)
        for room in rooms:
            room.act("leave")
        wait_until(lambda: both.engine.used == 0, "all slots are free", 10.0, 0.001)

        assert [len(each.ends) for each in rooms] == [each.asked for each in rooms]
        assert both.ends == []
        for room in rooms:
            indices = [each.index for each in room.frames]
            assert indices == sorted(set(indices))
