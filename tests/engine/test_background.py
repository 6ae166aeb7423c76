"""The queue of work: what fits, what waits, what is dropped."""

from collections.abc import Generator

import pytest

from worker.engine.background import BackgroundWork


class Clock:
    """A clock that only pieces move."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def pieces(
    clock: Clock, log: list[str], name: str, *costs_s: float, kind: str = "piece"
) -> Generator[str]:
    """Work of pieces that take so long."""
    for n, cost_s in enumerate(costs_s):
        yield kind
        clock.now_s += cost_s
        log.append(f"{name}{n}")


def test_pieces_run_while_they_fit() -> None:
    """As many pieces run as end within the gap, by what the last ones took."""
    clock, log = Clock(), list[str]()
    background = BackgroundWork(clock)
    background.add("a", pieces(clock, log, "a", *[0.02] * 5))

    left = background.run(0.07)

    assert left
    assert log == ["a0", "a1", "a2"]


def test_work_that_fails_is_dropped() -> None:
    """An error ends its own generator alone, and reaches the caller."""
    clock, log = Clock(), list[str]()
    background = BackgroundWork(clock)

    def failing() -> Generator[str]:
        yield "piece"
        raise ValueError("no memory")

    background.add("sick", failing())
    background.add("well", pieces(clock, log, "well", 0.01))
    with pytest.raises(ValueError, match="no memory"):
        background.run(1.0)

    assert "sick" not in background
    assert not background.run(1.0)
    assert log == ["well0"]


def test_the_first_of_its_kind_runs_whatever_the_gap() -> None:
    """A piece whose time nobody knows runs once, and the next one of its kind has to fit."""
    clock, log = Clock(), list[str]()
    background = BackgroundWork(clock)
    background.add("a", pieces(clock, log, "a", 0.5, 0.5))

    background.run(0.01)
    background.run(0.01)

    assert log == ["a0"]


def test_a_piece_that_never_fits_is_tried_again() -> None:
    """One slow measurement does not keep a kind out for good."""
    clock, log = Clock(), list[str]()
    background = BackgroundWork(clock)
    background.add("a", pieces(clock, log, "a", 0.1, 0.01, 0.01))
    gaps = 0

    while background.run(0.05):
        gaps += 1

    assert log == ["a0", "a1", "a2"]
    assert 20 < gaps < 40


def test_short_work_fills_what_a_long_piece_leaves() -> None:
    """If the oldest work's next piece does not fit, the next one's may."""
    clock, log = Clock(), list[str]()
    background = BackgroundWork(clock)
    background.add("a", pieces(clock, log, "a", 0.06, 0.06, kind="long"))
    background.add("b", pieces(clock, log, "b", 0.01, 0.01, kind="short"))

    background.run(0.09)

    assert log == ["a0", "b0", "b1"]


def test_work_may_wait_for_the_next_gap() -> None:
    """Work that yields None is asked again once per gap, and holds nothing up."""
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


def test_cancelled_work_runs_no_more() -> None:
    """Work whose key is cancelled is closed where it stood."""
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


def test_a_key_holds_one_generator() -> None:
    """Adding under a key that is taken replaces the generator that was there."""
    clock, log = Clock(), list[str]()
    background = BackgroundWork(clock)
    background.add(3, pieces(clock, log, "old", 0.01))
    background.add(3, pieces(clock, log, "new", 0.01))

    background.run(1.0)

    assert log == ["new0"]
    assert 3 not in background
