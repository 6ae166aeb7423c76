"""The worker's processes of rooms: started together, each replaced where it ends.

They are forks of the main process, made before it has threads, a model or a connection: they start
at once and share its memory. A replacement starts anew, since by then the main process has threads.
Beside a single one a spare waits, so that its rooms need not wait for that.
"""

import asyncio
import gc
import os
import threading
import time
from contextlib import suppress

import structlog

from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.retry import Retry
from worker.context import WorkerContext
from worker.room.job import RoomJob
from worker.room_process.cores import usable_cores
from worker.room_process.figures import SummedFigures
from worker.room_process.hosted_jobs import HostedJob
from worker.room_process.room_process import RoomProcess, StartMethod
from worker.websocket.passed import PassedClient

log = structlog.get_logger(__name__)

MOST = 8
PERSONAS_EACH = 8  # fewer need no further process
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 30.0
LONG_S = 60.0  # a process that ran for so long ended for a reason of its own


def usual_count(settings: Settings, cores: int | None = None) -> int:
    """Return how many processes suit this machine: one for two cores, and for eight slots."""
    if settings.room_processes is not None:
        return settings.room_processes
    cores = cores or usable_cores()
    most = MOST if settings.capacity is None else -(-settings.capacity // PERSONAS_EACH)
    return max(1, min(MOST, most, cores // 2))


class RoomProcesses:
    """All processes of rooms. Main loop, but for the start and `close`."""

    def __init__(self, settings: Settings, method: StartMethod = "fork") -> None:
        """Start them; with `fork` before this process has any thread. Raises `InvalidInput`."""
        assert method != "fork" or threading.active_count() == 1, threading.enumerate()
        self.figures = SummedFigures()
        self._settings = settings
        self._environment = dict(os.environ)  # with the proxies of minds and storage
        self._context: WorkerContext | None = None
        self._processes: list[RoomProcess] = []
        self._keeping: list[asyncio.Task[None]] = []
        gc.collect()
        gc.freeze()  # a collection in a fork would copy the memory that it shares
        self._count = usual_count(settings)
        has_spare = self._count == 1 and settings.room_processes is None
        try:
            for _ in range(self._count + has_spare):
                self._processes.append(self._start(method))
        except BaseException:  # an interrupt as well: at its exit this process would wait for them
            self.close()
            raise

    @property
    def serve_now(self) -> bool:
        """Whether a job would not have to wait for a process."""
        return any(each.serves for each in self._processes)

    async def started(self) -> bool:
        """Return whether personas have minds, once all have started. Raises `InvalidInput`."""
        try:
            have_minds = await asyncio.gather(*(each.started() for each in self._processes))
        except EOFError as error:
            raise InvalidInput(f"{error}; its last lines say why") from error
        return any(have_minds)

    def begin(self, context: WorkerContext) -> None:
        """Take jobs from now on."""
        self._context = context
        for index, process in enumerate(self._processes):
            process.begin(context)
            self._keeping.append(asyncio.create_task(self._keep(index), name="rooms"))

    def serve(self, job: RoomJob) -> HostedJob:
        """Have a room hosted by the process with the least to do.

        Where none runs it waits for one that starts; one that has ended gives it up at once.
        """
        return self._idlest().serve(job)

    def serve_client(self, client: PassedClient) -> None:
        """Have a WebSocket client served, as a room."""
        self._idlest().serve_client(client)

    def end_clients(self) -> None:
        """Have all WebSocket clients ended: the worker stops."""
        for process in self._processes:
            process.end_clients()

    async def stop(self) -> None:
        """End all, once they have written what waits."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*(each.stop() for each in self._processes))

    def close(self) -> None:
        """End at once those that still run. Any thread."""
        for process in self._processes:
            process.kill()

    def _idlest(self) -> RoomProcess:
        """Return the process with the least to do; the spare only where no other runs."""

        def rank(index: int) -> tuple[bool, bool, int]:
            process = self._processes[index]
            return not process.serves, index >= self._count, process.load

        return self._processes[min(range(len(self._processes)), key=rank)]

    async def _keep(self, index: int) -> None:
        """Replace a process whenever it ends."""
        retry = Retry(FIRST_RETRY_S, LAST_RETRY_S)
        assert self._context is not None
        while True:
            begun_s = time.monotonic()
            await self._processes[index].ended()
            self._context.lost_rooms()
            if time.monotonic() - begun_s > LONG_S:
                retry.worked()
            retry.failed()
            while not retry.ready:  # noqa: ASYNC110 - time alone makes it so
                await asyncio.sleep(FIRST_RETRY_S)
            try:
                self._processes[index] = process = self._start("spawn")
                process.begin(self._context)
                with suppress(EOFError):  # its end is told where it is seen
                    await process.started()
            except InvalidInput as error:
                log.warning("rooms_not_replaced", reason=str(error))
            self._context.changed()

    def _start(self, method: StartMethod) -> RoomProcess:
        """Start a process. Raises `InvalidInput` where the machine allows no further one."""
        about = self._settings, self.figures, method, self._environment
        try:
            return RoomProcess(*about, self._processes)
        except OSError as error:
            raise InvalidInput(f"a process of rooms cannot be started: {error.strerror}") from error
