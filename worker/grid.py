"""The worker's 80 ms grid: one for all its rooms, so that one step serves all slots. Pure.

Times are seconds of `time.monotonic`, which is also every event loop's `loop.time`.
"""

import math

FRAME_S = 0.080


def next_tick(now_s: float) -> float:
    """The first tick after `now_s`, at least half a millisecond away."""
    return (math.floor((now_s + 0.0005) / FRAME_S) + 1) * FRAME_S


def until_opening(now_s: float, lead_s: float) -> float:
    """Seconds to wait so that a stream of 80 ms frames, opened then, delivers before each tick."""
    return (next_tick(now_s) - lead_s - now_s) % FRAME_S
