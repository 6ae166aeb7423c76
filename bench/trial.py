"""Sessions that push frames in real time for some seconds, join and leave, and what they got."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bench.renewal import renewals
from protocol.personas import Persona
from worker.engine.arrays import Mask, Pcm
from worker.engine.engine import Engine
from worker.engine.model import StepOut
from worker.engine.slots import Occupant, SlotFrame
from worker.engine.step import MoshiStep
from worker.frames import FRAME_S, FRAME_SAMPLES

JITTER_S = 0.002  # arrivals on the grid spread over so much
LEAST_SLEEP_S = 0.0005  # a shorter one would be late
LEAD_S = 0.016  # before the tick, as ears deliver them
SETTLE_S = 2.0  # not counted: the first steps of every size


class CountedStep(MoshiStep):
    """A step that counts running slots and renews them as in long calls."""

    rows: list[int]
    times_s: list[float]
    renewed_every: int  # steps from one renewal of a session to its next

    def run(self, pcm: Pcm, exec_mask: Mask) -> StepOut:
        """Run a step and record it."""
        begun_s = time.perf_counter()
        out = super().run(pcm, exec_mask)
        self.rows.append(int(exec_mask.sum()))
        self.times_s.append(time.perf_counter() - begun_s)
        self._renew_one(np.flatnonzero(exec_mask))
        return out

    def _renew_one(self, running: npt.NDArray[np.intp]) -> None:
        """Request the next renewal, of half a context, slot by slot."""
        turn, rest = divmod(len(self.rows), max(1, self.renewed_every // max(1, len(running))))
        if rest == 0 and len(running):
            slot = int(running[turn % len(running)])
            counts = self.renewal.history.counts
            counts[slot] = max(counts[slot], self.renewal.keep_frames)
            self.renewal.ask(slot, "age")


@dataclass(slots=True, eq=False)
class Session:
    """One paced conversation."""

    phase_s: float  # when in the 80 ms its frames come
    leaves_s: float
    occupant: Occupant | None = None
    pushed: int = 0
    delivered: int = 0
    unfinished: int = 0
    took_s: list[float] = field(default_factory=list)

    def deliver(self, frame: SlotFrame) -> None:
        """Record a frame. Called on the engine thread."""
        self.delivered += 1
        self.took_s.append(time.monotonic() - frame.arrived_s)

    @property
    def lost(self) -> int:
        """Return how many frames were due and never came; the first gives none."""
        return max(0, self.pushed - 1 - self.delivered - self.dropped - self.unfinished)

    def ends(self) -> None:
        """Record the frames under way: in the inbox, and in the current step."""
        if self.occupant is not None:
            self.unfinished = len(self.occupant.inbox) + 1

    @property
    def dropped(self) -> int:
        """Return how many frames its full inbox dropped."""
        return 0 if self.occupant is None else self.occupant.dropped


@dataclass(frozen=True, slots=True)
class CapacityRow:
    """The results of one trial."""

    sessions: int
    grid: bool
    p50_ms: float
    p99_ms: float
    late: int
    dropped: int
    lost: int
    frames: int
    joins: int
    renewals: int
    step_p50_ms: float
    step_p99_ms: float
    steps_per_80ms: float
    slots_per_step: float

    @property
    def holds(self) -> bool:
        """Return whether every session was served in time."""
        return self.p99_ms < FRAME_S * 1000 and not self.late + self.dropped + self.lost


class Trial:
    """A number of sessions for a number of seconds."""

    def __init__(
        self,
        engine: Engine,
        step: CountedStep,
        sessions: int,
        personas: Iterator[Persona],
        *,
        grid: bool,
    ) -> None:
        self._engine, self._step, self._grid = engine, step, grid
        self._personas = personas
        self._rng = np.random.default_rng(sessions)
        noise = self._rng.normal(size=(25, FRAME_SAMPLES)) * 0.1
        self._noise = noise.astype(np.float32)
        self._here = [self._join(0.0) for _ in range(sessions)]
        self._all = list(self._here)

    def run(self, seconds: float, stay_s: float) -> CapacityRow:
        """Pace all sessions, let them join and leave, and count after the settling time."""
        self._pace(SETTLE_S, stay_s)
        self._dropped_before = sum(each.dropped for each in self._all)
        self._renewed_before = renewals()
        self._step.rows.clear()
        self._step.times_s.clear()
        for session in self._all:
            session.took_s.clear()
        self._pace(seconds, stay_s)
        for session in self._here:
            self._leave(session)
        return self._row(seconds)

    def _pace(self, seconds: float, stay_s: float) -> None:
        for session in self._here:
            session.leaves_s = time.monotonic() + self._rng.exponential(stay_s)
        tick_s = (time.monotonic() // FRAME_S + 2) * FRAME_S - LEAD_S
        for _ in range(round(seconds / FRAME_S)):
            for session in sorted(self._here, key=lambda each: each.phase_s):
                self._push(session, tick_s + session.phase_s)
            self._replace_leaving(stay_s)  # after the pushes, which it would delay
            tick_s += FRAME_S

    def _push(self, session: Session, when_s: float) -> None:
        """Push a frame at its time: each sleep takes some 0.1 ms more than it was asked for."""
        if when_s - time.monotonic() > LEAST_SLEEP_S:
            time.sleep(when_s - time.monotonic())
        assert session.occupant is not None
        session.pushed += 1
        self._engine.push(session.occupant, self._noise[session.pushed % 25])

    def _replace_leaving(self, stay_s: float) -> None:
        for place, session in enumerate(self._here):
            if time.monotonic() > session.leaves_s:
                self._leave(session)
                self._here[place] = self._join(self._rng.exponential(stay_s))
                self._all.append(self._here[place])

    def _join(self, stay_s: float) -> Session:
        spread_s = JITTER_S if self._grid else FRAME_S
        session = Session(self._rng.uniform(0.0, spread_s), time.monotonic() + stay_s)
        session.occupant = self._engine.join(next(self._personas), session.deliver)
        return session

    def _leave(self, session: Session) -> None:
        assert session.occupant is not None
        session.ends()
        self._engine.leave(session.occupant)

    def _row(self, seconds: float) -> CapacityRow:
        took_ms = np.array([t for each in self._all for t in each.took_s]) * 1000
        step_ms = np.array(self._step.times_s) * 1000
        return CapacityRow(
            sessions=len(self._here),
            grid=self._grid,
            p50_ms=round(float(np.percentile(took_ms, 50)), 1),
            p99_ms=round(float(np.percentile(took_ms, 99)), 1),
            late=int((took_ms > FRAME_S * 1000).sum()),
            dropped=sum(each.dropped for each in self._all) - self._dropped_before,
            lost=sum(each.lost for each in self._all),
            frames=len(took_ms),
            joins=len(self._all) - len(self._here),
            renewals=renewals() - self._renewed_before,
            step_p50_ms=round(float(np.percentile(step_ms, 50)), 1),
            step_p99_ms=round(float(np.percentile(step_ms, 99)), 1),
            steps_per_80ms=round(len(step_ms) / (seconds / FRAME_S), 2),
            slots_per_step=round(float(np.mean(self._step.rows)), 1),
        )
