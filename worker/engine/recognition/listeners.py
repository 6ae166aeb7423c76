"""The people whose speech is recognised: their frames in, a text token for each frame out.

Frames come from any thread into bounded inboxes. The engine runs `use_gap` after the personas'
step, on its own thread: a step of recognition runs only where it ends before the personas' next
frames are due, so words may be late and voices are not.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import structlog

from worker.engine import metrics
from worker.engine.arrays import Mask, Pcm, Tokens
from worker.frames import FRAME_SAMPLES, SILENCE

log = structlog.get_logger(__name__)

INBOX_FRAMES = 25  # 2 s; sound that waits longer is not recognised
KEPT_TIMES = 50  # of steps
EXPECTED_SHARE = 0.9  # so many of these ended within the time that is expected of the next
PATIENCE_TICKS = 12  # after so many without a step, the shortest time is what is expected
REHEARSALS = 5


@dataclass(frozen=True, slots=True)
class RecognitionOut:
    """Output of one step, a row for each person; rows outside `valid` mean nothing."""

    text: Tokens  # [B] the text token
    pause: npt.NDArray[np.float64]  # [B] the chance that the person has finished; 0: no such head
    valid: Mask  # [B]


class RecognitionStep(Protocol):
    """One model call for all people. Every method is called from the engine thread only."""

    @property
    def capacity(self) -> int: ...

    def join(self, row: int) -> None:
        """Begin a row for another person."""
        ...

    def run(self, pcm: Pcm, exec_mask: Mask) -> RecognitionOut:
        """Advance the rows of `exec_mask` by one frame. pcm `[B, 1920]` in [-1, 1]."""
        ...


@dataclass(frozen=True, slots=True)
class HeardFrame:
    """The token of a frame of a person's sound. `index` counts the frames that were pushed."""

    index: int
    token: int
    pause: float


Deliver = Callable[[HeardFrame | None], None]  # None: nothing more comes


@dataclass(slots=True, eq=False)
class Listener:
    """One person's row. `deliver` is called on the engine thread and must return at once."""

    row: int
    deliver: Deliver
    _listeners: "Listeners"
    inbox: deque[tuple[int, Pcm]] = field(default_factory=deque[tuple[int, Pcm]])
    pushed: int = 0
    joined: bool = False
    closed: bool = False

    def push(self, pcm: Pcm) -> None:
        """Queue the next frame, `[1920]` float32 in [-1, 1]. Any thread."""
        self._listeners.push(self, pcm)

    def close(self) -> None:
        """Recognise the pushed sound, then free the row. Any thread."""
        self._listeners.close(self)


class Listeners:
    """The rows of a recognition step, and the listener of each."""

    def __init__(self, step: RecognitionStep, flush_frames: int) -> None:
        """`flush_frames` of silence bring out the words that a closed row has not given yet."""
        self._step = step
        self._lock = threading.Lock()
        self._rows: list[Listener | None] = [None] * step.capacity
        self._flush_frames = flush_frames
        self._pcm = np.zeros((step.capacity, FRAME_SAMPLES), np.float32)
        self._times_s: deque[float] = deque(maxlen=KEPT_TIMES)
        self._put_off = 0  # times in a row
        self.wake: Callable[[], None] = lambda: None  # called when frames begin to wait

    @property
    def capacity(self) -> int:
        return self._step.capacity

    @property
    def used(self) -> int:
        return sum(each is not None for each in self._rows)

    @property
    def waits(self) -> bool:
        """Whether frames wait. Any thread."""
        return any(each is not None and each.inbox for each in self._rows)

    def rehearse(self) -> None:
        """Run the step for all rows, so that its time is known: the fastest of some."""
        for row in range(self.capacity):
            self._step.join(row)
        for _ in range(REHEARSALS):
            self._run(np.ones(self.capacity, np.bool_))
        fastest_s = min(self._times_s)
        self._times_s.clear()
        self._times_s.append(fastest_s)

    def open(self, deliver: Deliver) -> Listener | None:
        """Take a row; None: all are taken. Any thread."""
        with self._lock:
            if None not in self._rows:
                return None
            listener = Listener(self._rows.index(None), deliver, self)
            self._rows[listener.row] = listener
            return listener

    def push(self, listener: Listener, pcm: Pcm) -> None:
        """Queue a frame; the oldest is dropped where the inbox is full. Any thread."""
        with self._lock:
            wakes = not self.waits
            if listener.closed:
                return
            self._put(listener, pcm)
            if len(listener.inbox) > INBOX_FRAMES:
                listener.inbox.popleft()
                metrics.UNRECOGNISED_FRAMES.inc()
        if wakes:
            self.wake()

    def close(self, listener: Listener) -> None:
        """Free a row once the pushed sound is recognised. Any thread."""
        with self._lock:
            if listener.closed:
                return
            listener.closed = True
            for _ in range(self._flush_frames):
                self._put(listener, SILENCE)
        self.wake()

    def use_gap(self, gap_s: Callable[[], float]) -> bool:
        """Run steps that should end within `gap_s()`, the time left. False: one was put off."""
        while self.waits:
            if gap_s() < self._expected_s:
                self._put_off += 1
                return False
            self._put_off = 0
            self._advance()
        return True

    @property
    def _expected_s(self) -> float:
        """The time of the next step, from the last ones; a single slow one does not count."""
        if not self._times_s:
            return 0.0
        times = sorted(self._times_s)
        patient = self._put_off <= PATIENCE_TICKS
        return times[int((len(times) - 1) * EXPECTED_SHARE)] if patient else times[0]

    def _advance(self) -> None:
        """Take a frame of every row that has one, run a step, deliver."""
        taken = self._take()
        mask = np.zeros(self.capacity, np.bool_)
        for listener, (_, pcm) in taken:
            if not listener.joined:
                self._step.join(listener.row)
                listener.joined = True
            self._pcm[listener.row], mask[listener.row] = pcm, True
        out = self._run(mask)
        for listener, (index, _) in taken:
            row = listener.row
            if out.valid[row]:
                heard = HeardFrame(index, int(out.text[row]), float(out.pause[row]))
                self._deliver(listener, heard)
        self._free_finished()

    def _run(self, mask: Mask) -> RecognitionOut:
        begun_s = time.perf_counter()
        out = self._step.run(self._pcm, mask)
        self._times_s.append(time.perf_counter() - begun_s)
        metrics.RECOGNITION_STEP_S.observe(self._times_s[-1])
        return out

    def _take(self) -> list[tuple[Listener, tuple[int, Pcm]]]:
        with self._lock:
            return [(each, each.inbox.popleft()) for each in self._rows if each and each.inbox]

    def _free_finished(self) -> None:
        with self._lock:
            done = [each for each in self._rows if each and each.closed and not each.inbox]
            for listener in done:
                self._rows[listener.row] = None
        for listener in done:
            self._deliver(listener, None)

    def _put(self, listener: Listener, pcm: Pcm) -> None:
        listener.inbox.append((listener.pushed, pcm))
        listener.pushed += 1

    def _deliver(self, listener: Listener, heard: HeardFrame | None) -> None:
        try:
            listener.deliver(heard)
        except Exception:  # its room is gone; the other people's words go on
            log.exception("words_not_delivered", row=listener.row)


@dataclass(frozen=True, slots=True)
class Recognition:
    """A loaded model of speech recognition, and the people that it listens to."""

    name: str
    listeners: Listeners
    decode: Callable[[Sequence[int]], str]  # text tokens → their text
    begins_word: Callable[[int], bool]  # whether a text token begins a word
    padding: int  # the text token of a frame without words
    boundary: int  # the text token of a frame in which a word ends or begins
    delay_s: float  # from the end of a frame of sound to its words
    has_pauses: bool  # whether it tells where a person has finished
