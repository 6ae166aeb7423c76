"""The moment at which a host stops for the one that stands by. Pure."""

import pytest

from worker.room.handover import PAUSE_FRAMES, SETTLE_FRAMES, WAIT_MOST_FRAMES, Moment


def comes_at(ready_from: int, quiet: range, lost: range = range(0)) -> int:
    """Return the frame at which it comes, of a host that is ready, but for `lost`."""
    moment = Moment()
    return next(
        frame
        for frame in range(10 * WAIT_MOST_FRAMES)
        if moment.has_come(
            is_ready=frame >= ready_from and frame not in lost, is_quiet=frame in quiet
        )
    )


@pytest.mark.parametrize(
    ("quiet", "frame"),
    [
        (range(0, 1000), SETTLE_FRAMES),
        (range(50, 60), 49 + PAUSE_FRAMES),
        (range(50, 49 + PAUSE_FRAMES), WAIT_MOST_FRAMES),
    ],
    ids=["quiet from the start", "a pause", "too short a pause"],
)
def test_it_comes_in_a_pause_or_after_a_while(quiet: range, frame: int) -> None:
    """Not before clients have the new voices, and 10 s after the other host was ready at most."""
    assert comes_at(1, quiet) == frame


def test_a_host_that_is_lost_starts_it_again() -> None:
    """What counts is how long the host that stands by now has been ready."""
    assert comes_at(0, range(0), range(100, 200)) == 199 + WAIT_MOST_FRAMES
