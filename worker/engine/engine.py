"""The engine: one thread that runs the model for all sessions.

In: `push` from any thread puts a frame into a bounded inbox. Out: `deliver` is called once per
frame, on this thread (as for rooms, whose processes pass frames on to their loops) or a given loop.
The loop is gather → step → deliver → joins, leaves and orders → background work. A step begins
as `timing/tick.py` says; no lock is held during a step.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import structlog

from protocol.personas import Persona
from worker.engine import metrics
from worker.engine.arrays import Pcm
from worker.engine.calls import Calls
from worker.engine.conversation.say import Done
from worker.engine.deliveries import Deliveries
from worker.engine.gap import Gap
from worker.engine.model import BatchedStep, Model, Remembered, StepOut
from worker.engine.slots import Deliver, Full, Occupant, SlotFailed, Slots
from worker.engine.timing.hang_watch import HangWatch
from worker.engine.timing.tick import Ticks
from worker.engine.timing.timed_step import Row, TimedStep
from worker.frames import FRAME_S

log = structlog.get_logger(__name__)

GAP_MARGIN_S = 0.005  # work in the gap ends this long before the next frames are due


class Engine:
    """Runs the model for its slots, from `start` to `stop`.

    `on_failure` is called once, on the engine thread, with the error that ended it: a failed step
    ends the process. Where the 99th percentile of steps takes more than `max_step_share` of a
    frame, the engine is `too_slow` for one more session.
    """

    def __init__(
        self,
        model: Model,
        on_failure: Callable[[BaseException], None],
        max_step_share: float = 0.9,
    ) -> None:
        self.model = model
        self.facts = model.facts
        self._step = TimedStep(model)
        self.window = self._step.window
        self._on_failure = on_failure
        self._max_step_s = FRAME_S * max_step_share
        self._slots = Slots(model.step.capacity)
        self._calls = Calls()
        self._joined: set[Occupant] = set()  # those that the step knows; engine thread
        self._ticks = Ticks()
        self._deliveries = Deliveries()
        self._watch = HangWatch()
        self._wake = threading.Condition()
        self._running = False
        self._gathered_s = 0.0
        self._gap = Gap(model, self._gap_s, self._fill_hole)
        if model.recognition is not None:
            model.recognition.listeners.wake = self._notify
        metrics.SLOTS_USED.set_function(lambda: self.used)
        metrics.SLOTS_FREE.set_function(lambda: self.free)
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def used(self) -> int:
        return self._slots.used

    @property
    def free(self) -> int:
        return self._slots.free

    @property
    def too_slow(self) -> bool:
        """Whether steps take too long for one more session. Any thread."""
        return self.used > 0 and self.window.slower_than(self._max_step_s)

    def refuse_if_full(self) -> None:
        """Raise `Full` where no slot is free now. Any thread."""
        if not self.free:
            raise Full(f"all {self.used} slots are taken")

    def start(self) -> None:
        self._running = True
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its current step. Any thread but the engine's own."""
        self._running = False
        self._notify()
        self._thread.join()

    def join(
        self,
        persona: Persona,
        deliver: Deliver,
        lost: Callable[[], None] = lambda: None,
        remembered: Remembered | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> Occupant:
        """Take a slot for a persona; frames may be pushed at once. Any thread. Raises `Full`.

        `deliver` is called on `loop`; without one on the engine thread, as `lost`, which is called
        if the slot fails, once the slot is free again.
        """
        occupant = Occupant(persona, deliver, lost, remembered, loop)
        with self._wake:
            if not self._running:
                raise Full("the engine is not running")
            self._slots.add(occupant)
            self._calls.joining.append(occupant)
            self._ticks.joined(occupant, time.monotonic())
            self._wake.notify()
        return occupant

    def leave(self, occupant: Occupant) -> None:
        """Free a slot at once; nothing more is delivered to this occupant. Any thread."""
        with self._wake:
            if self._slots.release(occupant):
                self._calls.leaving.append(occupant)
                self._ticks.left(occupant)
                self._wake.notify()

    def push(self, occupant: Occupant, pcm: Pcm) -> None:
        """Queue a slot's next frame, `[1920]` float32 in [-1, 1]. Any thread."""
        with self._wake:
            now_s = time.monotonic()
            if self._slots.put(occupant, pcm, now_s):
                metrics.DROPPED_FRAMES.inc()
            if self._slots.holds(occupant) and self._ticks.pushed(occupant, now_s):
                self._wake.notify()

    def catch_up(
        self, occupant: Occupant, more: Remembered | None, done: Callable[[], None]
    ) -> None:
        """Let an occupant that got no frame yet remember further columns, too. Any thread.

        `done` is called on the engine thread once its memory is there.
        """
        self._order(occupant, lambda step: step.catch_up(occupant.slot, more, done))

    def hush(self, occupant: Occupant, on: bool) -> None:
        """Force silence on a slot, or end it; the slot goes on listening. Any thread."""
        self._order(occupant, lambda step: step.hush(occupant.slot, on))

    def say(self, occupant: Occupant, text: str, done: Done) -> None:
        """Say a line; `done` is called on the engine thread with how it ended. Any thread."""
        self._order(occupant, lambda step: step.say(occupant.slot, text, done))

    def drop_lines(self, occupant: Occupant, *, unless_begun: bool = False) -> None:
        """Drop every line not yet said; with `unless_begun`, not yet begun. Any thread."""
        self._order(
            occupant, lambda step: step.drop_lines(occupant.slot, unless_begun=unless_begun)
        )

    def forget(self, occupant: Occupant) -> None:
        """Empty a slot's memory but for its prompt. Any thread."""
        self._order(occupant, lambda step: step.forget(occupant.slot))

    def _order(self, occupant: Occupant, order: Callable[[BatchedStep], None]) -> None:
        with self._wake:
            if self._slots.holds(occupant):
                self._calls.orders.append((occupant, order))
                self._wake.notify()

    def _run(self) -> None:
        try:
            while self._running:
                calls, rows = self._gather()
                self._watch.works()
                if rows:
                    self._answer(rows)
                self._carry_out(calls)  # after the step, where they delay no frame
                self._use_gap(after_step=bool(rows))
            self._watch.idle()
        except BaseException as error:  # without its engine the worker cannot go on
            self._watch.idle()  # first: a busy machine writes the traceback for seconds
            log.exception("engine_failed")
            self._on_failure(error)

    def _gather(self) -> tuple[Calls, list[Row]]:
        """Sleep until there is work; take calls, and frames if the tick's step is due."""
        with self._wake:
            is_due = self._wait()
            rows = self._take_frames() if is_due else []
            return self._calls.take(joins=is_due or not self._ticks.is_open), rows

    def _wait(self) -> bool:
        """Sleep until a step is due (True), or calls are; joins wait while a tick is open."""
        while True:
            begins_s = self._ticks.begins_at_s
            due_in_s = None if begins_s is None else begins_s - time.monotonic()
            if due_in_s is not None and due_in_s <= 0:
                return True
            if not self._running or self._calls.are_due(joins=not self._ticks.is_open):
                return False
            if due_in_s is None and self._gap.has_work:
                self._wake.wait(FRAME_S)
                return self._ticks.complete
            wait_s = self._watch.idle_in_s if due_in_s is None else due_in_s
            if not self._wake.wait(wait_s) and due_in_s is None:
                self._watch.idle()

    def _take_frames(self) -> list[Row]:
        """Take a frame of every session that has joined and has one: the rows of a step."""
        dropped = self._slots.drop_old(self._ticks.is_behind)
        metrics.DROPPED_FRAMES.inc(dropped)
        rows = self._slots.gather(self._joined)
        self._ticks.begun(self._slots.oldest().items())
        self._gathered_s = time.monotonic()
        return rows

    def _notify(self) -> None:
        with self._wake:
            self._wake.notify()

    def _use_gap(self, *, after_step: bool) -> None:
        try:
            self._gap.use(after_step=after_step)
        except SlotFailed as failed:
            # Not where it has left, and the slot was taken anew for a session to join.
            if (occupant := self._slots.at(failed.slot)) in self._joined:
                self._lose(occupant)

    def _fill_hole(self) -> bool:
        """Move the highest session into a free slot below: the highest slot sets a step's cost."""
        with self._wake:
            hole = self._slots.hole()
            changes = self._calls.joining or self._calls.leaving
            if changes or hole is None or hole[0] not in self._joined:
                return False
            occupant, target = hole
            source = occupant.slot
            self._slots.move(occupant, target)
        self.model.step.move(source, target)
        return True

    def _gap_s(self) -> float:
        """Return the seconds until the next frames are due; 0 while a frame or a call waits."""
        with self._wake:
            if not self._running or self._calls or self._ticks.is_open:
                return 0.0
            since_s = time.monotonic() - self._gathered_s
            if not self._slots.used or since_s > 2 * FRAME_S:
                return FRAME_S
        return FRAME_S - GAP_MARGIN_S - since_s

    def _carry_out(self, calls: Calls) -> None:
        """Pass calls to the step, leaves before joins: a slot may have both."""
        for occupant in filter(self._joined.__contains__, calls.leaving):
            self._joined.remove(occupant)
            self.model.step.leave(occupant.slot)
        for occupant in filter(self._slots.holds, calls.joining):
            self._joined.add(occupant)
            with self._failing_alone(occupant):
                self.model.step.join(occupant.slot, occupant.persona, occupant.remembered)
        for occupant, order in calls.orders:
            if self._slots.holds(occupant):
                with self._failing_alone(occupant):
                    order(self.model.step)

    def _answer(self, rows: list[Row]) -> None:
        begun_s = time.monotonic()
        self._deliver(rows, self._step.run(rows))
        with self._wake:
            self._ticks.took(time.monotonic() - begun_s)

    def _deliver(self, rows: list[Row], out: StepOut) -> None:
        """Deliver each row to its occupant, unless the slot changed hands during the step."""
        valid, arrivals_s = out.valid.tolist(), list[float]()
        for occupant, _, arrived_s in rows:
            if not self._slots.holds(occupant) or not valid[occupant.slot]:
                continue
            with self._failing_alone(occupant):
                self._deliveries.add(occupant, occupant.frame_of(out, arrived_s))
            arrivals_s.append(arrived_s)
        self._deliveries.send()
        metrics.count_frames(arrivals_s, time.monotonic())

    @contextmanager
    def _failing_alone(self, occupant: Occupant) -> Generator[None]:
        """Free the occupant's slot if the block fails; the other sessions go on."""
        try:
            yield
        except Exception:
            self._lose(occupant)

    def _lose(self, occupant: Occupant) -> None:
        log.exception("slot_failed", occupant=occupant.id, persona=occupant.persona.name)
        metrics.FAILED_SLOTS.inc()
        self.leave(occupant)
        occupant.lost()
