"""Calls from one thread to an event loop of another thread."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


def call_on_loop(
    loop: asyncio.AbstractEventLoop,
    function: Callable[..., None],
    *arguments: object,
    context: Context | None = None,
) -> None:
    """Call a function on a loop, unless that is closed. Any thread."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *arguments, context=context)


async def result_from(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T], within_s: float
) -> T:
    """Return what a coroutine returns on another loop. Raises `TimeoutError` after a while."""
    running = asyncio.run_coroutine_threadsafe(work, loop)
    return await asyncio.wait_for(asyncio.wrap_future(running), within_s)
