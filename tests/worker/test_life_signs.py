"""How long a process of recognition may give no sign of life."""

import math

import pytest

from worker.life_signs import LOOK_EVERY_S, PATIENCE_S, TIMES_SPEECH, LifeSigns


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def survives_s(signs: LifeSigns, clock: Clock, step_s: float = LOOK_EVERY_S / 4) -> float:
    """Return after how many seconds without a sign the process counts as hung."""
    began_s = clock.now_s
    while not signs.is_hung():
        clock.now_s += step_s
        if clock.now_s - began_s > 10_000:
            return math.inf
    return clock.now_s - began_s


@pytest.mark.parametrize("speech_s", [0.0, 2.0, 12.0])
def test_the_patience_grows_with_the_speech(speech_s: float) -> None:
    """A process has `PATIENCE_S`, and `TIMES_SPEECH` times the speech that it recognises."""
    clock = Clock()
    signs = LifeSigns(clock=clock)
    signs.take(speech_s)

    assert survives_s(signs, clock) == pytest.approx(PATIENCE_S + TIMES_SPEECH * speech_s, abs=1.0)


def test_a_process_that_loads_has_all_the_time() -> None:
    """Before its first sign a process is never hung: a download may take long."""
    clock = Clock()

    assert survives_s(LifeSigns(clock=clock), clock) == math.inf


def test_each_sign_begins_anew() -> None:
    """Signs that come in time keep a process alive for ever."""
    clock = Clock()
    signs = LifeSigns(clock=clock)
    for _ in range(1000):
        signs.take(0.0)
        for _ in range(int(PATIENCE_S) - 1):
            clock.now_s += LOOK_EVERY_S
            assert not signs.is_hung()


def test_a_worker_that_stood_still_itself_does_not_blame_the_process() -> None:
    """Of the time between two looks `LOOK_EVERY_S` counts at most, as after a stopped container."""
    clock = Clock()
    signs = LifeSigns(clock=clock)
    signs.take(0.0)
    clock.now_s += 3600.0

    assert not signs.is_hung()
    assert survives_s(signs, clock) == pytest.approx(PATIENCE_S, abs=2.0)
