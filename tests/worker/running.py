"""Something of the worker that runs until it is stopped."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar


class Runs(Protocol):
    """Has a `run` that ends after `stop`."""

    async def run(self) -> None: ...

    def stop(self) -> None: ...


R = TypeVar("R", bound=Runs)


@asynccontextmanager
async def running(service: R) -> AsyncGenerator[R]:
    """Run a writer of redis; at the end all is written."""
    task = asyncio.create_task(service.run())
    try:
        yield service
    finally:
        service.stop()
        await task
