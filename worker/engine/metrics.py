"""The engine's figures for Prometheus and the heartbeat. Written by the engine thread only."""

from collections import deque
from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram

from worker import frames

# Around the deadline: a step must end within one frame, 80 ms.
BUCKETS_S = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.16, 0.32, 1.0)

STEP_S = Histogram("moshi_step_seconds", "Time of one step of the batch", buckets=BUCKETS_S)
STEP_ROWS = Histogram(
    "moshi_step_rows",
    "Slots that advanced in a step",
    buckets=(1, 2, 4, 8, 16, 32, 48, 64, 96, 128),
)
FRAME_S = Histogram(
    "moshi_frame_seconds", "Arrival of a frame to delivery of its answer", buckets=BUCKETS_S
)
LATE_FRAMES = Counter("moshi_late_frames", "Frames delivered after their 80 ms were over")
DROPPED_FRAMES = Counter("moshi_dropped_frames", "Frames dropped because an inbox was full")
RENEWED_SLOTS = Counter("moshi_renewed_slots", "Slots renewed alone", ["reason"])
FAILED_SLOTS = Counter(
    "moshi_failed_slots", "Sessions that lost their slot to an error of their own"
)
RECOGNITION_STEP_S = Histogram(
    "moshi_recognition_step_seconds", "Time of one step over people's speech", buckets=BUCKETS_S
)
RECOGNITION_PUT_OFF = Counter(
    "moshi_recognition_put_off", "Ticks in which people's words waited, for voices go first"
)
UNRECOGNISED_FRAMES = Counter(
    "moshi_unrecognised_frames", "Frames of people's speech that waited too long for recognition"
)
SLOTS_USED = Gauge("moshi_slots_used", "Slots taken")
SLOTS_FREE = Gauge("moshi_slots_free", "Slots left")


def count_frames(arrivals_s: Iterable[float], now_s: float) -> None:
    """Count frames that arrived at these times and are delivered now, late or in time."""
    for arrived_s in arrivals_s:
        FRAME_S.observe(now_s - arrived_s)
        if now_s - arrived_s > frames.FRAME_S:
            LATE_FRAMES.inc()


WINDOW_STEPS = 750  # a minute of steps
FEW_STEPS = WINDOW_STEPS // 100


class StepWindow:
    """Step times of the last minute, for the 99th percentile that the heartbeat carries."""

    def __init__(self) -> None:
        self._times_s: deque[float] = deque(maxlen=WINDOW_STEPS)

    def add(self, seconds: float) -> None:
        self._times_s.append(seconds)

    def slower_than(self, limit_s: float) -> bool:
        """Whether more than a hundredth of a minute's steps took longer. Any thread.

        Less than a minute is judged no more strictly: a few slow steps at the start do not count, a
        worker that is slow in every step is noticed within a second.
        """
        return sum(time_s > limit_s for time_s in self._times_s.copy()) > FEW_STEPS

    def p99_ms(self) -> float | None:
        """99th percentile in milliseconds, None before the first step. Any thread."""
        times = sorted(self._times_s.copy())
        return round(times[int(len(times) * 0.99)] * 1000, 2) if times else None
