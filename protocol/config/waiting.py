"""Waiting for something with a time limit, so that a cancellation is never lost."""

import asyncio
import sys
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def wait_for(awaited: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109 - its name
    """Return what is awaited, as `asyncio.wait_for`. Raises `TimeoutError`."""
    async with asyncio.timeout(timeout):
        return await awaited


def mend_wait_for() -> None:
    """Replace `asyncio.wait_for` where it loses a cancellation: before Python 3.12 (gh-86296).

    There a task goes on that is cancelled in the moment in which what it waits for has come.
    redis-py waits so for each command that it sends, and LiveKit's SDK in many places: a loop over
    either outlived its cancellation, and the `gather` after it waited for ever.
    """
    if sys.version_info < (3, 12):
        asyncio.wait_for = asyncio.tasks.wait_for = wait_for
