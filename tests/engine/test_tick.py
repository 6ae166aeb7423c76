"""When a tick's step begins, by properties of a scripted engine: 64 rooms, jitter, lateness."""

from collections import defaultdict, deque
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.engine.timing.tick import GATHER_S, MARGIN_S, SAME_TICK_S, SPREAD_S, Ticks

FRAME_S = 0.080
ROOMS, JITTER_S = 64, 0.004
TICKS = 25


@dataclass
class Script:
    """Arrivals of frames, `(time, room, tick)`, on a grid of 80 ms."""

    frames: list[tuple[float, int, int]]
    joins: dict[int, float]
    late: set[tuple[int, int]]  # (room, tick) of late frames


def script(
    seed: int,
    *,
    late_share: float = 0.0,
    joins: int = 0,
    rooms: int = ROOMS,
    jitter_s: float = JITTER_S,
) -> Script:
    """Return frames of all rooms; a share is 10 to 150 ms late, and each room's are in order."""
    rng = np.random.default_rng(seed)
    made = Script([], {}, set())
    for room in range(rooms):
        first = int(rng.integers(1, TICKS - 2)) if room < joins else 0
        made.joins[room] = first * FRAME_S - float(rng.uniform(0.0, FRAME_S)) if first else -0.02
        before_s = 0.0
        for tick in range(first, TICKS):
            arrived_s = tick * FRAME_S + float(rng.uniform(0.0, jitter_s))
            if tick > first and rng.random() < late_share:
                made.late.add((room, tick))
                arrived_s += float(rng.uniform(0.010, 0.150))
            if before_s > arrived_s:
                made.late.add((room, tick))
            before_s = arrived_s = max(arrived_s, before_s)
            made.frames.append((arrived_s, room, tick))
    made.frames.sort()
    return made


@dataclass
class Step:
    """One step: when it began, and the frames that it took, with their arrival."""

    begun_s: float
    rows: dict[int, tuple[float, int]]  # room → arrival, tick


@dataclass
class Engine:
    """An engine whose steps take `step_s` each and begin when `Ticks` says.

    From the sixth tick until `slow_until_s` they take `slow_s`.
    """

    step_s: float
    slow_s: float = 0.0
    slow_until_s: float = 0.0
    ticks: Ticks = field(default_factory=Ticks)
    inbox: dict[int, deque[tuple[float, int]]] = field(default_factory=lambda: defaultdict(deque))
    steps: list[Step] = field(default_factory=list)
    replaced: list[tuple[int, int]] = field(default_factory=list)  # (room, tick)
    free_s: float = 0.0
    now_s: float = -1.0

    def run(self, made: Script) -> list[Step]:
        """Play a script to its end; return the steps."""
        self.ticks.took(self.step_s)
        events = [(when_s, room, None) for room, when_s in made.joins.items()]
        events += [(when_s, room, tick) for when_s, room, tick in made.frames]  # type: ignore[misc]
        for when_s, room, tick in sorted(events, key=lambda event: event[0]):
            self._steps_until(when_s)
            self.now_s = when_s
            if tick is None:
                self.ticks.joined(room, when_s)
            else:
                self.inbox[room].append((when_s, tick))
                self.ticks.pushed(room, when_s)
        self._steps_until(TICKS * FRAME_S + 1.0)
        return self.steps

    def _steps_until(self, when_s: float) -> None:
        while (begins_s := self.ticks.begins_at_s) is not None:
            begins_s = max(begins_s, self.free_s, self.now_s)
            if begins_s >= when_s:
                return
            self._step(begins_s)

    def _step(self, now_s: float) -> None:
        rows: dict[int, tuple[float, int]] = {}
        for room, frames in self.inbox.items():
            while len(frames) > 1 and self.ticks.is_behind(room):
                self.replaced.append((room, frames.popleft()[1]))
            if frames:
                rows[room] = frames.popleft()
        self.steps.append(Step(now_s, rows))
        self.ticks.begun([(room, each[0][0]) for room, each in self.inbox.items() if each])
        is_slow = 5 * FRAME_S <= now_s < self.slow_until_s
        took_s = self.slow_s if is_slow else self.step_s
        self.ticks.took(took_s)
        self.free_s = now_s + took_s


two_do_not_fit = st.floats(0.036, 0.0625)
two_fit = st.floats(0.001, 0.034)
share = st.sampled_from([0.0, 0.002, 0.02, 0.1])
joining = st.sampled_from([0, 5, 40])
seeds = st.integers(0, 9999)
few = settings(max_examples=8)


def on_time(made: Script) -> set[tuple[int, int]]:
    """Return the frames in time of rooms that were not late in this tick or the two before."""
    behind = {(room, tick + n) for room, tick in made.late for n in range(3)}
    return {(room, tick) for _, room, tick in made.frames} - behind


@few
@given(seeds, two_do_not_fit, share, joining)
def test_each_tick_has_one_step_where_two_do_not_fit(
    seed: int, step_s: float, late_share: float, joins: int
) -> None:
    """With jitter, late frames and joins each tick has one step, if two take longer than 80 ms."""
    steps = Engine(step_s).run(script(seed, late_share=late_share, joins=joins))
    begun = [int(step.begun_s // FRAME_S) for step in steps]

    assert [tick for tick in begun if tick < TICKS] == list(range(TICKS))


@few
@given(seeds, two_do_not_fit, share, joining)
def test_frames_in_time_are_answered_within_80_ms(
    seed: int, step_s: float, late_share: float, joins: int
) -> None:
    """Frames in time are answered within 80 ms, whichever rooms are late or join."""
    made = script(seed, late_share=late_share, joins=joins)
    engine = Engine(step_s)
    took_s = {
        (room, tick): step.begun_s + step_s - arrived_s
        for step in engine.run(made)
        for room, (arrived_s, tick) in step.rows.items()
    }

    assert all(took_s[frame] <= FRAME_S for frame in on_time(made))
    assert set(engine.replaced).isdisjoint(took_s)
    assert len(engine.replaced) + len(took_s) == len(made.frames)


@few
@given(seeds, st.one_of(two_fit, two_do_not_fit), share)
def test_a_tick_waits_for_late_frames_no_longer_than_its_limit(
    seed: int, step_s: float, late_share: float
) -> None:
    """A tick's first frame waits 20 ms where two steps fit, else until it would just be in time.

    Where two fit, no frame waits 4 ms for another one: so much the others lose to a late room.
    Jitter is added where the first frame's room missed a step before.
    """
    made = script(seed, late_share=late_share)
    fits = 2 * step_s + GATHER_S + MARGIN_S <= FRAME_S
    most_s = SPREAD_S if fits else FRAME_S - step_s - MARGIN_S
    punctual, free_s = on_time(made), 0.0
    for step in Engine(step_s).run(made):
        came_s = [at_s for room, (at_s, tick) in step.rows.items() if (room, tick) in punctual]
        first_s = min(came_s, default=step.begun_s)
        assert step.begun_s <= max(first_s + most_s + JITTER_S, free_s) + 1e-9
        last_s = max(arrived_s for arrived_s, _ in step.rows.values())
        assert not fits or step.begun_s <= max(last_s + GATHER_S, free_s) + 1e-9
        free_s = step.begun_s + step_s


@few
@given(seeds, st.one_of(two_fit, two_do_not_fit))
def test_a_step_begins_when_all_frames_have_come(seed: int, step_s: float) -> None:
    """Where no room is late, each step begins at the arrival of its last frame."""
    steps = Engine(step_s).run(script(seed))

    assert all(len(step.rows) == ROOMS for step in steps)
    assert all(
        step.begun_s == max(arrived_s for arrived_s, _ in step.rows.values()) for step in steps
    )


@few
@given(seeds, st.floats(0.001, 0.025), st.floats(0.035, 0.045))
def test_rooms_of_another_phase_are_not_waited_for(
    seed: int, step_s: float, phase_s: float
) -> None:
    """Where two steps fit, rooms with frames in mid-tick and the others wait for their own only."""
    made = script(seed, rooms=6)
    made.frames = sorted(
        (at_s + phase_s * (room >= 4), room, tick) for at_s, room, tick in made.frames
    )
    steps = Engine(step_s).run(made)[2:]

    assert [sorted(step.rows) for step in steps] == [[0, 1, 2, 3], [4, 5]] * (TICKS - 1)
    assert all(
        step.begun_s == max(arrived_s for arrived_s, _ in step.rows.values()) for step in steps
    )


@few
@given(seeds, two_fit, st.floats(0.005, 0.018))
def test_rooms_whose_frames_come_one_after_the_other_share_a_step(
    seed: int, step_s: float, jitter_s: float
) -> None:
    """Where two steps fit, 128 rooms whose frames come over up to 18 ms have one step per tick."""
    steps = Engine(step_s).run(script(seed, rooms=128, jitter_s=jitter_s))

    assert [len(step.rows) for step in steps] == [128] * TICKS


def test_a_room_that_stopped_is_waited_for_once() -> None:
    """A room whose frames stop coming delays the others in one tick only."""
    made = script(1)
    made.frames = [frame for frame in made.frames if not (frame[1] == 7 and frame[2] >= 10)]
    steps = Engine(0.050).run(made)
    waits = [step.begun_s - step.begun_s // FRAME_S * FRAME_S for step in steps]

    assert [tick for tick, wait_s in enumerate(waits) if wait_s > JITTER_S] == [10]


def test_a_room_whose_frames_shift_is_waited_for_once() -> None:
    """A room whose frames come in the middle of every tick delays one tick, then shares steps."""
    made = script(2)
    made.frames = sorted(
        (at_s + 0.045 * (room == 3 and tick >= 5), room, tick) for at_s, room, tick in made.frames
    )
    engine = Engine(0.050)
    steps = engine.run(made)
    begun = [int(step.begun_s // FRAME_S) for step in steps]
    waits = [step.begun_s % FRAME_S for step in steps]

    assert begun[:TICKS] == list(range(TICKS))
    assert [tick for tick, wait_s in enumerate(waits[:TICKS]) if wait_s > JITTER_S] == [5]
    assert engine.replaced == []
    assert all(3 in step.rows for step in steps[6:TICKS])


def test_a_late_frame_begins_no_step_just_before_a_tick() -> None:
    """A room that was a frame late and has two at once shares the next tick's only step."""
    made, late_s = script(4, rooms=10), {(3, 9): 0.082, (3, 10): 0.0795, (3, 11): 0.0005}
    made.frames = sorted(
        (tick * FRAME_S + late_s.get((room, tick), 0.001 + at_s % FRAME_S), room, tick)
        for at_s, room, tick in made.frames
    )
    steps = Engine(0.047).run(made)

    assert [int(step.begun_s // FRAME_S) for step in steps] == list(range(TICKS))


def test_after_one_long_step_no_frame_is_dropped() -> None:
    """Frames that came during a long step are answered one after the other, in full steps."""
    engine = Engine(0.020)
    engine.free_s = 5 * FRAME_S + 0.01
    steps = engine.run(script(3))

    assert engine.replaced == []
    assert all(len(step.rows) == ROOMS for step in steps)
    assert len(steps) == TICKS


@settings(max_examples=60)
@given(
    seeds,
    st.floats(0.036, 0.055),
    st.floats(0.081, 0.150),
    st.integers(1, 6),
    st.integers(1, 9),
    st.floats(0.0, 0.006),
)
def test_after_slow_steps_rooms_share_one_step_again(
    seed: int, step_s: float, slow_s: float, slow_ticks: int, early: int, early_s: float
) -> None:
    """After steps longer than a frame each tick has one step of all rooms, and drops nothing.

    Frames of some rooms always come a little before the others', as from another thread.
    """
    made = script(seed, rooms=10)
    made.frames = sorted(
        (at_s + early_s * (room >= early), room, tick) for at_s, room, tick in made.frames
    )
    engine = Engine(step_s, slow_s, (5 + slow_ticks) * FRAME_S)
    steps = engine.run(made)
    settled_s = (TICKS - 6) * FRAME_S

    assert [len(step.rows) for step in steps if step.begun_s >= settled_s] == [10] * 6
    assert [frame for frame in engine.replaced if frame[1] >= TICKS - 6] == []


def test_the_constants_of_ticks_are_ordered() -> None:
    """Jitter is below the margin, that below `SAME_TICK_S`, and that below a quarter frame."""
    assert JITTER_S < MARGIN_S < SAME_TICK_S < SPREAD_S <= FRAME_S / 4
