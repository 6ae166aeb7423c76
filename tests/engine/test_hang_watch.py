"""How often the engine's watchdog is armed; `test_engine.py` tests that it ends a process."""

import faulthandler
import time

import pytest

from worker.engine.timing import hang_watch
from worker.engine.timing.hang_watch import HangWatch

FRAME_S = 0.08


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record how the watchdog is called, instead of arming it: a process has only one."""
    calls: list[str] = []
    monkeypatch.setattr(
        faulthandler, "dump_traceback_later", lambda *_, **__: calls.append("armed")
    )
    monkeypatch.setattr(
        faulthandler, "cancel_dump_traceback_later", lambda: calls.append("disarmed")
    )
    return calls


def test_the_watchdog_is_armed_every_few_seconds(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Working steps arm the watchdog once each `REARMS_S`, which is less than `HANGS_S`."""
    now_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    watch = HangWatch()
    for step in range(int(60 / FRAME_S)):
        now_s = step * FRAME_S
        watch.works()

    assert 60 / hang_watch.REARMS_S - 1 <= len(calls) <= 60 / hang_watch.REARMS_S
    assert hang_watch.REARMS_S < hang_watch.HANGS_S


def test_an_idle_engine_is_not_watched(calls: list[str]) -> None:
    """An idle engine disarms the watchdog once, and arms it with its next work."""
    watch = HangWatch()
    assert watch.idle_in_s is None
    watch.works()
    assert watch.idle_in_s is not None
    watch.idle()
    watch.idle()
    watch.works()

    assert calls == ["armed", "disarmed", "armed"]
