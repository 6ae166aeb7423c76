"""How often the engine's watchdog is armed. That it ends a process: `test_engine.py`."""

import faulthandler
import time

import pytest

from worker.engine.timing import hang_watch
from worker.engine.timing.hang_watch import HangWatch

FRAME_S = 0.08


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the watchdog is asked for, instead of doing it: it has one place in the process."""
    calls: list[str] = []
    monkeypatch.setattr(
        faulthandler, "dump_traceback_later", lambda *_, **__: calls.append("armed")
    )
    monkeypatch.setattr(
        faulthandler, "cancel_dump_traceback_later", lambda: calls.append("disarmed")
    )
    return calls


def test_it_is_armed_every_few_seconds(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps between two armings cost nothing; a hang is noticed however long ago it was armed."""
    now_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    watch = HangWatch()
    for step in range(int(60 / FRAME_S)):
        now_s = step * FRAME_S
        watch.works()

    assert 60 / hang_watch.REARMS_S - 1 <= len(asked) <= 60 / hang_watch.REARMS_S
    assert hang_watch.REARMS_S < hang_watch.HANGS_S


def test_an_idle_engine_is_not_watched(asked: list[str]) -> None:
    """It is disarmed once, and armed with the next work."""
    watch = HangWatch()
    assert watch.idle_in_s is None
    watch.works()
    assert watch.idle_in_s is not None
    watch.idle()
    watch.idle()
    watch.works()

    assert asked == ["armed", "disarmed", "armed"]
