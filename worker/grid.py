"""The 80 ms grid of all rooms of a worker: one engine step then serves all slots.

Times are seconds of `time.monotonic`, which is also every event loop's `loop.time`.
"""

import asyncio
import math

from worker.frames import FRAME_S


def next_tick(now_s: float) -> float:
    """Return the first tick after `now_s`, at least half a millisecond ahead."""
    return (math.floor((now_s + 0.0005) / FRAME_S) + 1) * FRAME_S


async def wait_for_tick() -> None:
    """Sleep until the next tick."""
    now_s = asyncio.get_running_loop().time()
    await asyncio.sleep(next_tick(now_s) - now_s)


def until_opening(now_s: float, lead_s: float) -> float:
    """Return the seconds after which a stream of 80 ms frames must open.

    It then delivers each frame `lead_s` before a tick.
    """
    return (next_tick(now_s) - lead_s - now_s) % FRAME_S
