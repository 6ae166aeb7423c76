"""`asyncio.wait_for`, as all our processes have it."""

import asyncio

import pytest


async def test_a_cancellation_is_not_lost() -> None:
    """A task that is cancelled in the moment in which what it waits for has come ends."""
    coming = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(asyncio.wait_for(coming, 60.0))
    await asyncio.sleep(0)
    coming.set_result("here")
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_what_comes_in_time_is_returned() -> None:
    """A result and an error are passed on, also those that are there with no time left."""
    loop = asyncio.get_running_loop()
    here, failed = loop.create_future(), loop.create_future()
    here.set_result("here")
    failed.set_exception(KeyError("failed"))

    assert [await asyncio.wait_for(here, each) for each in (None, 60.0, 0.0)] == ["here"] * 3
    with pytest.raises(KeyError, match="failed"):
        await asyncio.wait_for(failed, 60.0)


@pytest.mark.parametrize("within_s", [0.01, 0.0, -1.0])
async def test_what_comes_too_late_is_cancelled(within_s: float) -> None:
    """What does not come in time is cancelled, and `TimeoutError` is raised."""
    coming = asyncio.get_running_loop().create_future()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(coming, within_s)

    assert coming.cancelled()
