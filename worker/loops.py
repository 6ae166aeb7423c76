"""Calls from one thread to an event loop of another thread."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
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


async def on_daemon(name: str, work: Callable[[], T]) -> T:
    """Return what a function returns on a thread of its own, which outlives a cancelled wait."""
    outcome = Future[T]()
    outcome.set_running_or_notify_cancel()  # else a cancelled wait would leave it no outcome

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # for whoever waits
            outcome.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(outcome)
