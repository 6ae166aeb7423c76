"""The queue of background work: which pieces run in a gap, wait, or are dropped."""

from collections.abc import Generator

import pytest

from worker.engine.background import BackgroundWork


class Clock:
    """A clock that only pieces of work move."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def pieces(
    clock: Clock, log: list[str], name: str, *costs_s: float, kind: str = "piece"
) -> Generator[str]:
    """Yield pieces of work that take so long."""
    for n, cost_s in enumerate(costs_s):
        yield kind
        clock.now_s += cost_s
        log.append(f"{name}{n}")


def test_pieces_run_as_long_as_they_fit_the_gap() -> None:
    """As many pieces run as end within the gap, by the time that the last ones took."""
    clock, log = Clock(), list[str]()
    background = BackgroundWork(clock)
    background.add("a", pieces(clock, log, "a", *[0.02] * 5))

    left = background.run(0.07)

    assert left
    assert log == ["a0", "a1", "a2"]


def test_work_that_fails_is_dropped() -> None:
    """An error reaches the caller, and ends only the work that raised it."""
    clock, log = Clock(), list[str]()
    background = BackgroundWork(clock)

    def failing() -> Generator[str]:
        yield "piece"
        raise ValueError("no memory")

    background.add("failing", failing())
    background.add("healthy", pieces(clock, log, "healthy", 0.01))
    with pytest.raises(ValueError, match="no memory"):
        background.run(1.0)

    assert "failing" not in background
    assert not background.run(1.0)
    assert log == ["healthy0"]


def test_a_piece_of_unknown_duration_runs_in_any_gap() -> None:
    """The first piece of a kind runs in a gap of any length, and the next one must fit."""
    clock, log = Clock(), list[str]()
    background = BackgroundWork(clock)
    background.add("a", pieces(clock, log, "a", 0.5, 0.5))

    background.run(0.01)
    background.run(0.01)

    assert log == ["a0"]


def test_a_piece_that_never_fits_is_tried_again() -> None:
    """A piece whose kind was once slow runs after some gaps all the same."""
    clock, log = Clock(), list[str]()
    background = BackgroundWork(clock)
    background.add("a", pieces(clock, log, "a", 0.1, 0.01, 0.01))
    gaps = 0

    while background.run(0.05):
        gaps += 1

    assert log == ["a0", "a1", "a2"]
    assert 20 < gaps < 40


def test_short_work_fills_what_a_long_piece_leaves() -> None:
    """If the next piece of the oldest work does not fit, a piece of later work may run."""
    clock, log = Clock(), list[str]()
    background = BackgroundWork(clock)
    background.add("a", pieces(clock, log, "a", 0.06, 0.06, kind="long"))
    background.add("b", pieces(clock, log, "b", 0.01, 0.01, kind="short"))

    background.run(0.09)

    assert log == ["a0", "b0", "b1"]


def test_work_may_wait_for_the_next_gap() -> None:
    """Work that yields None is asked again once per gap."""
    log = list[str]()

    def patient() -> Generator[str | None]:
        for n in range(3):
            log.append(f"asked{n}")
            yield None

    background = BackgroundWork(Clock())
    background.add("a", patient())

    left = [background.run(0.08) for _ in range(3)]

    assert log == ["asked0", "asked1", "asked2"]
    assert left == [True, True, False]


def test_cancelled_work_is_closed() -> None:
    """Work whose key is cancelled is closed and does not run again."""
    clock, log = Clock(), list[str]()
    closed = list[bool]()

    def work() -> Generator[str]:
        try:
            yield from pieces(clock, log, "a", 0.02, 0.02, 0.02)
        finally:
            closed.append(True)

    background = BackgroundWork(clock)
    background.add(3, work())
    background.run(0.03)

    background.cancel(3)

    assert not background.run(1.0)
    assert log == ["a0"]
    assert closed == [True]


def test_new_work_replaces_that_of_the_same_key() -> None:
    """Of two generators with one key only the second runs."""
    clock, log = Clock(), list[str]()
    background = BackgroundWork(clock)
    background.add(3, pieces(clock, log, "old", 0.01))
    background.add(3, pieces(clock, log, "new", 0.01))

    background.run(1.0)

    assert log == ["new0"]
    assert 3 not in background
