"""Measure how many sessions run in real time while sessions join and leave.

Paced sessions push a frame every 80 ms into the engine; each leaves after a while and another joins
at once. Measured per frame: arrival → delivered, on the engine's own thread (what the rooms' loops
add is `bench.bridge`). A miss is a frame that was delivered more than 80 ms after it came, or was
dropped, or never came. The search halves: the largest number of sessions that held twice, with a
99th percentile below 80 ms and without a miss.

A trial is shorter than the calls that its sessions stand for, so renewals are made to occur as in
long calls: a session that is renewed is treated as one that has talked for half a context, and
sessions are renewed as often as so many long calls need it. With `--prompted` the model is treated
as a PersonaPlex, and every other session that joins has a new prompt.

In the same run, at that number (at least 4): steps per 80 ms and slots per step where all sessions
cut their frames on one grid (the phase lock, as a worker does), and where each has its own phase.

    python -m bench.capacity                                    # the pocket Moshi on a CPU
    python -m bench.capacity --arch moshi7b --random --most 96  # 7B in bf16 on CUDA

A table, then one line of JSON.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt
import structlog
import torch

from bench import models
from bench.models import PERSONA
from bench.renewal import renewals
from protocol.personas import Persona
from worker.engine.arrays import Mask, Pcm
from worker.engine.conversation.renewal_rules import RenewalRules
from worker.engine.engine import Engine
from worker.engine.model import Model, StepOut
from worker.engine.recognition.listeners import Recognition
from worker.engine.slots import Occupant, SlotFrame
from worker.engine.step import MoshiStep

FRAME_S = 0.080
JITTER_S = 0.002  # arrivals on the grid spread over so much
LEAST_SLEEP_S = 0.0005  # a shorter one would be late
LEAD_S = 0.016  # before the tick, as ears deliver them
SETTLE_S = 2.0  # not counted: the first steps of every size
TEXT_FRAMES = 100  # of a prompt


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
            self.renewal.ask(slot, "request")


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
        noise = self._rng.normal(size=(25, engine.model.frame_samples)) * 0.1
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


def main() -> None:
    options, device = read_options()
    step, engine = start(options, device)
    print(
        f"{options.arch} on {models.name_of(options, device)}; context {options.context or 'own'}"
    )
    print("  ".join(f"{name:>14}" for name in CapacityRow.__dataclass_fields__))
    rows: list[CapacityRow] = []
    personas = joining_personas(prompted=options.prompted)

    def trial(sessions: int, *, grid: bool = True) -> CapacityRow:
        row = Trial(engine, step, sessions, personas, grid=grid).run(options.seconds, options.stay)
        print("  ".join(f"{value:>14}" for value in asdict(row).values()), flush=True)
        rows.append(row)
        return row

    holds, fails = 0, options.most + 1
    sessions = options.most
    while holds + 1 < fails:
        if trial(sessions).holds and trial(sessions).holds:  # once may be luck
            holds = sessions
        else:
            fails = sessions
        sessions = (holds + fails) // 2
    for grid in (True, False):
        trial(max(holds, min(4, options.most)), grid=grid)
    engine.stop()
    print(
        f"largest number of sessions with p99 < 80 ms and no miss: {holds} "
        f"(load of the machine: {os.getloadavg()[0]:.1f})"
    )
    print(
        json.dumps(
            {
                "bench": "capacity",
                "arch": options.arch,
                "device": models.name_of(options, device),
                "context": options.context,
                "most_tried": options.most,
                "sessions": holds,
                "load": round(os.getloadavg()[0], 1),
                "torch": torch.__version__,
                "rows": [asdict(row) for row in rows],
            }
        )
    )


def read_options() -> tuple[argparse.Namespace, torch.device]:
    parser = models.options_of(__doc__)
    parser.add_argument("--most", type=int, default=12, help="the most sessions to try")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each trial")
    parser.add_argument("--stay", type=float, default=8.0, help="mean seconds of a session")
    parser.add_argument("--prompted", action="store_true", help="as if it were a PersonaPlex")
    return models.read(parser)


def joining_personas(*, prompted: bool) -> Iterator[Persona]:
    """Yield occupants without end: with a cached prompt, then with a new one, in turn."""
    for number in itertools.count():
        yield models.with_prompt(number * (number % 2), TEXT_FRAMES) if prompted else PERSONA


def start(
    options: argparse.Namespace,
    device: torch.device,
    engine_class: type[Engine] = Engine,
    recognition: Recognition | None = None,
) -> tuple[CountedStep, Engine]:
    """Start the engine for the largest number of sessions, and run every batch size once."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    lm, mimi = models.load(options, device, options.most, prompted=options.prompted)
    reading = models.as_prompted(models.VOICE_FRAMES, mimi.frame_size) if options.prompted else None
    stored = models.stored(options, device)
    step = CountedStep(lm, mimi, options.most, reading=reading, stored=stored)
    step.rows, step.times_s = [], []
    step.renewed_every = int((lm.context or 0) * RenewalRules().at_share) - step.renewal.keep_frames
    list(step.warm([next(joining_personas(prompted=options.prompted))]))
    silence = np.zeros((step.capacity, 1920), dtype=np.float32)
    for slots in range(step.capacity + 1):
        step.run(silence, np.arange(step.capacity) < slots)

    def failed(error: BaseException) -> None:
        raise SystemExit(f"the engine failed: {error}")

    model = Model("bench", step, (), (), recognition=recognition)
    engine = engine_class(model, on_failure=failed)
    engine.start()
    return step, engine


if __name__ == "__main__":
    main()
