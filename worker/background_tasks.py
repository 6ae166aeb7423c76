"""Small tasks beside the main work: a failure is logged and ends nothing. One event loop."""

import asyncio
from collections.abc import Coroutine

import structlog

log = structlog.get_logger(__name__)


class BackgroundTasks:
    """Tasks that run until they are done or cancelled together."""

    def __init__(self, kind: str, name: str) -> None:
        """`kind` begins the log event of a failure, `<kind>_task_failed`."""
        self._kind, self._name = kind, name
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Start a task."""
        task = asyncio.create_task(work, name=f"{self._kind} {self._name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def cancel(self) -> None:
        """Cancel the tasks that still run."""
        for task in self._tasks:
            task.cancel()

    async def join(self) -> None:
        """Wait for the end of the tasks that still run."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning(f"{self._kind}_task_failed", name=self._name, error=type(error).__name__)
