"""When a tick's step begins: one step for all sessions, without making a frame late.

A step begins when every session that is expected has a frame. It waits for the others as long as
their frames would still be in time. Where two steps fit into a frame's time, a late session gets a
step of its own: then it waits a few milliseconds for one more frame, and so on while frames come.
Else it waits a frame's time less what the last steps took, and never less than frames of one tick
may be apart, for a tick that is split makes one part of its sessions late from then on. A session
that missed a step is not waited for until its frames come with the others' again; nor, where two
fit, one whose frames come in the middle of the others' ticks.
Pure: every method is told the time. The engine holds its lock around every call.
"""

import math
from collections import deque
from collections.abc import Hashable, Iterable

from worker.frames import FRAME_S

GATHER_S = 0.004  # the wait for one more frame where two steps fit: all rooms cut on one grid
SPREAD_S = 0.020  # and for all: 128 rooms of one interpreter push over up to 17 ms
MARGIN_S = 0.005  # between the end of a step that waited and the time when its frames are late
SAME_TICK_S = 0.010  # frames so much apart belong to one tick
SOON_S = 0.030  # where two steps fit, a frame that is due later than this is not waited for
TICK_SHARE = 0.95  # of a frame's time: sooner after a tick's first frame no other tick begins
LIVE_FRAMES = 1.625  # a session whose last frame is older is not expected
STEPS = 12  # the slowest of so many counts as the time of a step


class Ticks:
    """The frames that wait for the next step, and the sessions that the step waits for."""

    def __init__(self) -> None:
        self._times_s: deque[float] = deque([0.0], maxlen=STEPS)
        self._seen_s: dict[Hashable, float] = {}  # session → its last frame's arrival, or its join
        self._waiting: dict[Hashable, float] = {}  # session → arrival of its oldest frame
        self._missing: set[Hashable] = set()  # expected in this tick, without a frame
        self._missed: set[Hashable] = set()  # were without one when a step began
        self._opened_s: float | None = None  # arrival of the frame that began this tick
        self._newest_s = -math.inf  # of the last session's first frame
        self._last_opened_s = -math.inf  # of the tick before

    @property
    def step_s(self) -> float:
        """Return the seconds that a step takes: the slowest of the last ones."""
        return max(self._times_s)

    @property
    def two_fit(self) -> bool:
        """Whether a session that comes late can have a step of its own."""
        return 2 * self.step_s + GATHER_S + MARGIN_S <= FRAME_S

    @property
    def most_wait_s(self) -> float:
        """The longest that a tick's first frame waits for the others."""
        if self.two_fit:
            return SPREAD_S
        return max(SAME_TICK_S, FRAME_S - self.step_s - MARGIN_S)

    @property
    def is_open(self) -> bool:
        """Whether frames of a new tick wait, and not only frames that missed the last one."""
        return self._opened_s is not None

    @property
    def complete(self) -> bool:
        """Whether every expected session has a frame."""
        return self._opened_s is not None and not self._missing

    @property
    def begins_at_s(self) -> float | None:
        """When the next step begins at the latest; in the past: now. None: no frame waits."""
        if not self._waiting:
            return None
        if self._opened_s is None:  # late frames alone: with the next tick, which may not come
            late_s = max(min(self._waiting.values()), self._last_opened_s + SAME_TICK_S)
            return late_s + FRAME_S
        if self.complete:
            return self._opened_s
        latest_s = self._opened_s + self.most_wait_s
        return min(self._newest_s + GATHER_S, latest_s) if self.two_fit else latest_s

    def is_behind(self, session: Hashable) -> bool:
        """Whether a session's newest frame replaces the older ones, which get no step."""
        return session in self._missed and not self.two_fit

    def joined(self, session: Hashable, now_s: float) -> None:
        """Expect a new session's first frame in the next tick."""
        self._seen_s[session] = now_s - FRAME_S + SOON_S

    def left(self, session: Hashable) -> None:
        self._seen_s.pop(session, None)
        self._waiting.pop(session, None)
        self._missing.discard(session)
        self._missed.discard(session)
        if not self._waiting:
            self._opened_s = None

    def pushed(self, session: Hashable, arrived_s: float) -> bool:
        """Take note of a frame. True: the next step may begin sooner than before."""
        self._seen_s[session] = arrived_s
        if session in self._waiting:
            return False
        return self._wait(session, arrived_s)

    def begun(self, left_over: Iterable[tuple[Hashable, float]]) -> None:
        """A step took a frame of every session that had one; `left_over` is what waits still.

        Those are the sessions that have more frames, each with the arrival of its oldest.
        """
        if self._opened_s is not None and not self.two_fit:
            self._note_missed(self._opened_s)
        self._last_opened_s = self._last_opened_s if self._opened_s is None else self._opened_s
        self._waiting.clear()
        self._missing.clear()
        self._opened_s = None
        for session, arrived_s in sorted(left_over, key=lambda each: each[1]):
            self._wait(session, arrived_s)

    def took(self, step_s: float) -> None:
        """Note the time of a step, from its begin until its frames were delivered."""
        self._times_s.append(step_s)

    def _wait(self, session: Hashable, arrived_s: float) -> bool:
        self._waiting[session] = self._newest_s = arrived_s
        if self._opened_s is None:
            if not self._opens(session, arrived_s):
                return len(self._waiting) == 1
            self._opened_s = arrived_s
            self._missing = set(self._expected(arrived_s))
            return True
        self._missing.discard(session)
        return not self._missing

    def _opens(self, session: Hashable, now_s: float) -> bool:
        """Whether a frame begins a tick: not one that missed its own, while others are on time."""
        if self.two_fit:
            return True
        if now_s < self._last_opened_s + TICK_SHARE * FRAME_S:
            self._missed.add(session)
        if session not in self._missed:
            return True
        return not any(
            seen_s > now_s - LIVE_FRAMES * FRAME_S and other not in self._missed
            for other, seen_s in self._seen_s.items()
        )

    def _expected(self, opened_s: float) -> Iterable[Hashable]:
        """The sessions whose frame of the tick that opened then is due; none that missed a step."""
        oldest_s = opened_s - LIVE_FRAMES * FRAME_S
        newest_s = opened_s - (FRAME_S - SOON_S if self.two_fit else SAME_TICK_S)
        return (
            session
            for session, seen_s in self._seen_s.items()
            if oldest_s < seen_s <= newest_s and session not in self._missed
        )

    def _note_missed(self, opened_s: float) -> None:
        """Of those with a frame of this tick and those without, the fewer missed it."""
        present = {each for each in self._waiting if self._seen_s[each] >= opened_s}
        if len(self._missing) > len(present):
            self._missed |= present
        else:
            self._missed -= present
            self._missed |= self._missing
