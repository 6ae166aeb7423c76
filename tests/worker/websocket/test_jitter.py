"""How a client's sound comes through a network that is now fast and now slow. Pure."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from worker.engine.arrays import Pcm
from worker.sound.ring import SETTLE_TICKS, Ring
from worker.websocket.client import WebSocketClient

FRAME_MS, JITTER_MS = 80.0, 30.0
MINUTE_TICKS = 750
HOLES_MOST = 1.5  # a minute, on average; where a frame may wait for 2 s only, 5


def frame(value: float) -> Pcm:
    """Return a frame of one value."""
    return np.full(8, value, dtype=np.float32)


def holes(ring: Ring, phase_ms: float, ticks: int) -> int:
    """Return in how many ticks a client is silent that speaks without a pause.

    Its frames come in their order, each of them late by a chance of its own.
    """
    late_ms = np.abs(np.random.default_rng(1).normal(0.0, JITTER_MS, ticks))
    comes_ms = np.maximum.accumulate(FRAME_MS * np.arange(ticks) + phase_ms + late_ms)
    came, silent = 0, 0
    for tick in range(ticks):
        while came < ticks and comes_ms[came] <= FRAME_MS * tick:
            ring.put(frame(came))
            came += 1
        silent += ring.take() is None
    return silent


async def test_jitter_makes_few_holes_whenever_a_client_began() -> None:
    """A client whose frames come about when a tick is due has few holes, too."""
    ws: Any = SimpleNamespace()
    minutes = 5
    found = [
        holes(WebSocketClient(ws, 1.0).ring, phase_ms, minutes * MINUTE_TICKS) / minutes
        for phase_ms in range(0, 80, 8)
    ]

    assert np.mean(found) < HOLES_MOST


async def test_a_stall_of_the_network_leaves_no_lag_of_two_frames() -> None:
    """Of three frames that come at once, one may wait for long, and no second one."""
    ws: Any = SimpleNamespace()
    ring = WebSocketClient(ws, 1.0).ring
    for value in (-3, -2, -1):
        ring.put(frame(value))
    lags: list[float] = []
    for tick in range(2 * SETTLE_TICKS):
        taken = ring.take()
        assert taken is not None
        lags.append(tick - float(taken[0]) - 1)
        ring.put(frame(tick))

    assert (lags[0], lags[-1]) == (2.0, 1.0)
