"""The place of livekit-agents' pool of job threads: a job is served by a function of ours.

livekit-agents 1.8.9 `AgentServer` asks its pool (ipc/proc_pool.py `ProcPool`) to launch each job
that LiveKit assigned, and tells LiveKit when one has begun and ended. Main loop.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from livekit.agents.ipc.job_executor import JobStatus
from livekit.agents.job import RunningJobInfo

LAUNCHED, CLOSED = "process_job_launched", "process_closed"


class ServedJob(Protocol):
    """A job that is served elsewhere."""

    ended: Future[Any]

    @property
    def leave(self) -> Callable[[str], None]: ...


class PooledJob:
    """A job, as `AgentServer` knows it: with what it uses of `JobExecutor`."""

    def __init__(self, info: RunningJobInfo, served: ServedJob) -> None:
        self.running_job = info
        self._served = served

    @property
    def status(self) -> JobStatus:
        """Return whether the job is being served."""
        return JobStatus.SUCCESS if self._served.ended.done() else JobStatus.RUNNING

    async def join(self) -> None:
        """Return once the job has ended."""
        await asyncio.shield(asyncio.wrap_future(self._served.ended))

    async def aclose(self) -> None:
        """End the job: LiveKit asks for it."""
        self._served.leave("LiveKit ended the job")
        await self.join()


class JobPool:
    """The jobs that are being served."""

    def __init__(self, serve: Callable[[RunningJobInfo], ServedJob]) -> None:
        self._serve = serve
        self._on: dict[str, Callable[[PooledJob], None]] = {}
        self._following: set[asyncio.Task[None]] = set()
        self.processes: list[PooledJob] = []

    def on(self, event: str, callback: Callable[[PooledJob], None]) -> None:
        """Call a function where a job begins or ends."""
        self._on[event] = callback

    async def start(self) -> None:
        """Do nothing: no job waits for a thread."""

    async def aclose(self) -> None:
        """Do nothing: the worker has drained."""

    def get_by_job_id(self, job_id: str) -> PooledJob | None:
        """Return a job that is being served."""
        return next((job for job in self.processes if job.running_job.job.id == job_id), None)

    async def launch_job(self, info: RunningJobInfo) -> None:
        """Have a job served."""
        job = PooledJob(info, self._serve(info))
        self.processes.append(job)
        self._tell(LAUNCHED, job)
        following = asyncio.create_task(self._follow(job), name="job")
        self._following.add(following)
        following.add_done_callback(self._following.discard)

    async def _follow(self, job: PooledJob) -> None:
        await job.join()
        self.processes.remove(job)
        self._tell(CLOSED, job)

    def _tell(self, event: str, job: PooledJob) -> None:
        if (callback := self._on.get(event)) is not None:
            callback(job)
