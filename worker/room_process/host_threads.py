"""The hosts of this process: each on a thread and event loop of its own.

A room that fails or blocks costs the others nothing.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial

import structlog

from protocol.commands import Answer, Command
from protocol.heartbeat import Outcome
from protocol.room_spec import RoomSpec
from worker.livekit_private.connecting import late_closed
from worker.room.context import HostContext
from worker.room.host import Host
from worker.room.job import RoomJob
from worker.traces import traced

log = structlog.get_logger(__name__)

NOT_HERE = Answer(refusal="not_live", detail="This worker does not host the session now.")


@dataclass(slots=True)
class _Running:
    """A job whose thread has begun."""

    host: Host | None = None  # once it is made
    leave_reason: str = ""  # of a call that came before


class HostThreads:
    """Runs hosts. Calls from one thread; `on_ended` is called on each host's."""

    def __init__(self, context: HostContext, on_ended: Callable[[str, Outcome], None]) -> None:
        """`on_ended(job_id, outcome)` is called once for each job."""
        self._context, self._on_ended = context, on_ended
        self._jobs: dict[str, _Running] = {}
        self._lock = threading.Lock()

    def serve(self, job: RoomJob) -> None:
        """Host a room from now on. Returns at once."""
        self._jobs[job.id] = running = _Running()
        run = partial(self._run, job, running)
        try:
            threading.Thread(target=run, name=f"room {job.id}", daemon=True).start()
        except RuntimeError:  # the machine allows no further thread
            log.exception("host_failed", room=job.spec.room)
            self._end(job.id, "failed")

    def leave(self, job_id: str, reason: str) -> None:
        """Have a host leave."""
        if (running := self._jobs.get(job_id)) is None:
            return
        with self._lock:
            running.leave_reason = reason
            host = running.host
        if host is not None:
            host.leave(reason)

    def follow(self, job_id: str, spec: RoomSpec) -> None:
        """Give a host its room's spec; one that has only begun gets the next one."""
        if (host := self._host(job_id)) is not None:
            host.follow(spec)

    def execute(self, job_id: str, command: Command, until_s: float) -> Future[Answer]:
        """Have a host carry out a command, as `Host.execute`."""
        if (host := self._host(job_id)) is not None:
            return host.execute(command, until_s)
        answer = Future[Answer]()
        answer.set_result(NOT_HERE)
        return answer

    def _host(self, job_id: str) -> Host | None:
        running = self._jobs.get(job_id)
        return None if running is None else running.host

    def _run(self, job: RoomJob, running: _Running) -> None:
        try:
            asyncio.run(self._serve(job, running))
        except Exception:
            log.exception("host_failed", room=job.spec.room)
        finally:
            self._end(job.id, "failed")  # unless it is told how it ended

    async def _serve(self, job: RoomJob, running: _Running) -> None:
        self._end(job.id, await self._host_room(job, running))
        await late_closed()

    def _end(self, job_id: str, outcome: Outcome) -> None:
        if self._jobs.pop(job_id, None) is not None:
            self._on_ended(job_id, outcome)

    async def _host_room(self, job: RoomJob, running: _Running) -> Outcome:
        spec = job.spec
        with (
            structlog.contextvars.bound_contextvars(room=spec.room, generation=spec.generation),
            traced(spec, self._context.emit) as emit,
        ):
            host = Host(job, replace(self._context, emit=emit))
            with self._lock:
                running.host = host
                is_to_leave = bool(running.leave_reason)
            if is_to_leave:
                host.leave(running.leave_reason)
            return await host.run()
