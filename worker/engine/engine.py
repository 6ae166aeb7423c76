"""The engine: one thread that runs the model for all sessions.

In: `push` from any thread puts a frame into a bounded inbox. Out: `deliver` is called on the engine
thread, once per frame, and must be quick (`loop.call_soon_threadsafe`).
The loop is gather → step → deliver. It steps as soon as any slot has a frame and the last step is
done; no lock is held during a step.
"""

import faulthandler
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import numpy as np
import structlog

from protocol.personas import Persona
from worker.engine import metrics
from worker.engine.arrays import Pcm
from worker.engine.conversation.say import Done
from worker.engine.model import BatchedStep, Model, StepOut
from worker.engine.slots import Deliver, Full, Occupant, SlotFailed, SlotFrame, Slots

log = structlog.get_logger(__name__)

# All rooms cut frames on one grid, so frames arrive together; this catches their jitter.
GATHER_WINDOW_S = 0.004
GAP_MARGIN_S = 0.005  # work in the gap ends this long before the next frames are due
HANGS_S = 20.0  # a step, with its joins and its gap, that takes this long never ends

Row = tuple[Occupant, Pcm, float]
Command = tuple[Occupant, Callable[[BatchedStep], None]]


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
        self.window = metrics.StepWindow()
        self._on_failure = on_failure
        self._max_step_s = model.frame_s * max_step_share
        self._slots = Slots(model.step.capacity)
        self._joining: list[Occupant] = []
        self._leaving: list[Occupant] = []
        self._commands: list[Command] = []
        self._held_slots: set[int] = set()
        self._wake = threading.Condition()
        self._running = False
        self._work_left = False  # for the next gap
        self._gathered_s = 0.0
        self._pcm = np.zeros((model.step.capacity, model.frame_samples), dtype=np.float32)
        self._mask = np.zeros(model.step.capacity, dtype=np.bool_)
        metrics.SLOTS_USED.set_function(lambda: self.used)
        metrics.SLOTS_FREE.set_function(lambda: self.free)
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def used(self) -> int:
        """Slots taken. Any thread."""
        return self._slots.used

    @property
    def free(self) -> int:
        """Slots left. Any thread."""
        return self._slots.free

    @property
    def too_slow(self) -> bool:
        """Whether steps take too long for one more session. Any thread."""
        return self.used > 0 and self.window.slower_than(self._max_step_s)

    def start(self) -> None:
        """Start the thread."""
        self._running = True
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its current step. Any thread but the engine's own."""
        with self._wake:
            self._running = False
            self._wake.notify()
        self._thread.join()

    def join(
        self, persona: Persona, deliver: Deliver, lost: Callable[[], None] = lambda: None
    ) -> Occupant:
        """Take a slot for a persona; frames may be pushed at once. Any thread. Raises `Full`.

        `lost` is called on the engine thread if the slot fails, once the slot is free again.
        """
        with self._wake:
            if not self._running:
                raise Full("the engine is not running")
            occupant = self._slots.take(persona, deliver, lost)
            self._joining.append(occupant)
            self._wake.notify()
        return occupant

    def leave(self, occupant: Occupant) -> None:
        """Free a slot at once; nothing more is delivered to this occupant. Any thread."""
        with self._wake:
            if self._slots.release(occupant):
                self._leaving.append(occupant)
                self._wake.notify()

    def push(self, occupant: Occupant, pcm: Pcm) -> None:
        """Queue a slot's next frame, `[frame_samples]` float32 in [-1, 1]. Any thread."""
        with self._wake:
            if self._slots.put(occupant, pcm, time.monotonic()):
                metrics.DROPPED_FRAMES.inc()
            self._wake.notify()

    def hush(self, occupant: Occupant, on: bool) -> None:
        """Force silence on a slot, or end it; the slot goes on listening. Any thread."""
        self._command(occupant, lambda step: step.hush(occupant.slot, on))

    def say(self, occupant: Occupant, text: str, done: Done) -> None:
        """Say a line; `done` is called on the engine thread with how it ended. Any thread."""
        self._command(occupant, lambda step: step.say(occupant.slot, text, done))

    def drop_lines(self, occupant: Occupant) -> None:
        """Drop every line that the slot was given and has not said yet. Any thread."""
        self._command(occupant, lambda step: step.drop_lines(occupant.slot))

    def forget(self, occupant: Occupant) -> None:
        """Empty a slot's memory but for its prompt. Any thread."""
        self._command(occupant, lambda step: step.forget(occupant.slot))

    def _command(self, occupant: Occupant, command: Callable[[BatchedStep], None]) -> None:
        with self._wake:
            if self._slots.holds(occupant):
                self._commands.append((occupant, command))
                self._wake.notify()

    def _run(self) -> None:
        try:
            while self._running:
                joining, leaving, commands, rows = self._gather()
                # Native code may hang and hold the interpreter lock.
                faulthandler.dump_traceback_later(HANGS_S, exit=True)
                self._change_slots(joining, leaving)
                self._execute(commands)
                if rows:
                    self._deliver(rows, self._step(rows))
                self._use_gap()
                faulthandler.cancel_dump_traceback_later()
        except BaseException as error:  # without its engine the worker cannot go on
            faulthandler.cancel_dump_traceback_later()
            log.exception("engine_failed")
            self._on_failure(error)

    def _gather(self) -> tuple[list[Occupant], list[Occupant], list[Command], list[Row]]:
        """Sleep until there is work, wait a moment for the tick's other frames, take them all."""
        with self._wake:
            timeout_s = self.model.frame_s if self._work_left else None
            self._wake.wait_for(self._has_calls, timeout=timeout_s)
            if self._slots.waiting():
                self._wake.wait_for(
                    lambda: not self._running or self._slots.waiting() == self._slots.used,
                    timeout=GATHER_WINDOW_S,
                )
            joining, self._joining = self._joining, []
            leaving, self._leaving = self._leaving, []
            rows = self._slots.gather()
            if rows:
                self._gathered_s = time.monotonic()
            commands, self._commands = self._commands, []
            return joining, leaving, commands, rows

    def _has_calls(self) -> bool:
        """Whether a frame or a call waits, which must not wait for the gap. Holds the lock."""
        return bool(
            not self._running
            or self._joining
            or self._leaving
            or self._commands
            or self._slots.waiting()
        )

    def _use_gap(self) -> None:
        """Do background work until the next frames are due.

        Once per gap: what is left then did not fit, and asking again would be polling.
        """
        gap_s = self._gap_s()
        if gap_s > 0 and self._fill_hole():
            gap_s = self._gap_s()
        try:
            self._work_left = gap_s <= 0 or self.model.step.work(gap_s)
        except SlotFailed as failed:
            self._work_left = True
            occupant = self._slots.at(failed.slot)
            if occupant is not None:
                self._lose(occupant)

    def _fill_hole(self) -> bool:
        """Move the highest session into a free slot below: the highest slot sets a step's cost.

        At most one in a gap, since each copies the session's memory.
        """
        with self._wake:
            hole = self._slots.hole()
            if self._joining or self._leaving or hole is None:
                return False
            occupant, target = hole
            source = occupant.slot
            self._slots.move(occupant, target)
        self.model.step.move(source, target)
        self._held_slots.remove(source)
        self._held_slots.add(target)
        return True

    def _gap_s(self) -> float:
        """Return the seconds until the next frames are due; 0 while a frame or a call waits."""
        with self._wake:
            if self._has_calls():
                return 0.0
            since_s = time.monotonic() - self._gathered_s
            if not self._slots.used or since_s > 2 * self.model.frame_s:
                return self.model.frame_s
        return self.model.frame_s - GAP_MARGIN_S - since_s

    def _change_slots(self, joining: list[Occupant], leaving: list[Occupant]) -> None:
        """Pass leaves and joins to the step, leaves first: a slot may have both."""
        for occupant in leaving:
            if occupant.slot in self._held_slots:
                self._held_slots.remove(occupant.slot)
                self.model.step.leave(occupant.slot)
        for occupant in joining:
            if self._slots.holds(occupant):
                self._held_slots.add(occupant.slot)
                with self._failing_alone(occupant):
                    self.model.step.join(occupant.slot, occupant.persona)

    def _execute(self, commands: list[Command]) -> None:
        """Run the commands of occupants that still hold their slot."""
        for occupant, command in commands:
            if self._slots.holds(occupant):
                with self._failing_alone(occupant):
                    command(self.model.step)

    def _step(self, rows: list[Row]) -> StepOut:
        self._mask[:] = False
        for occupant, pcm, _ in rows:
            self._pcm[occupant.slot] = pcm
            self._mask[occupant.slot] = True
        begun_s = time.perf_counter()
        out = self.model.step.run(self._pcm, self._mask)
        took_s = time.perf_counter() - begun_s
        metrics.STEP_S.observe(took_s)
        metrics.STEP_ROWS.observe(len(rows))
        self.window.add(took_s)
        return out

    def _deliver(self, rows: list[Row], out: StepOut) -> None:
        """Deliver each row to its occupant, unless the slot changed hands during the step."""
        for occupant, _, arrived_s in rows:
            if not self._slots.holds(occupant) or not out.valid[occupant.slot]:
                continue
            slot = occupant.slot
            frame = SlotFrame(
                pcm=out.pcm[slot].copy(),
                text=int(out.text[slot]),
                unforced_text=int(out.unforced_text[slot]),
                index=occupant.frames,
                arrived_s=arrived_s,
            )
            occupant.frames += 1
            with self._failing_alone(occupant):  # its room's loop may be closed
                occupant.deliver(frame)
            took_s = time.monotonic() - arrived_s
            metrics.FRAME_S.observe(took_s)
            if took_s > self.model.frame_s:
                metrics.LATE_FRAMES.inc()

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
