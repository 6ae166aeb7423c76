"""Workers without sound, many in one process: heartbeat, admission and jobs are the real code.

Each registers with LiveKit under its own name, takes jobs, and joins a room by signalling alone.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
from livekit.agents.ipc import proc_pool
from livekit.agents.job import JobRequest, RunningJobInfo

from protocol.config.settings import Settings
from protocol.events import Event
from protocol.heartbeat import Heartbeat
from protocol.room_spec import RoomSpec
from protocol.seal import Seal
from worker.admission import JobAdmission
from worker.context import WorkerContext
from worker.engine.echo import echo_model
from worker.engine.engine import Engine
from worker.engine.slots import SlotFrame
from worker.heartbeat import HeartbeatPublisher
from worker.hosts import Hosting, Hosts
from worker.jobs import make_server
from worker.status import PublishedStatus

log = structlog.get_logger(__name__)

Enter = Callable[[str, RunningJobInfo], Awaitable[None]]  # joins a room as its host


@dataclass(frozen=True, slots=True)
class _JobsHere:
    """The place of livekit-agents' job threads: a job is one call on the caller's own loop."""

    job_entrypoint_fnc: Callable[[RunningJobInfo], Awaitable[None]]
    processes: tuple[()] = ()

    def on(self, event: str, callback: Any) -> None:
        """Do nothing: there are no threads to tell of."""

    def set_target_idle_processes(self, count: int) -> None:
        """Do nothing: a job needs no thread."""

    def get_by_job_id(self, job_id: str) -> None:
        """Return no thread."""

    async def start(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""

    async def launch_job(self, info: RunningJobInfo) -> None:
        await self.job_entrypoint_fnc(info)


def keep_jobs_here() -> None:
    """Let livekit-agents start no threads in this process: 300 workers would have 600 idle ones."""

    def pool(*, job_entrypoint_fnc: Any, **_: Any) -> _JobsHere:
        return _JobsHere(job_entrypoint_fnc)

    proc_pool.ProcPool = pool  # pyright: ignore[reportAttributeAccessIssue]


async def _no_events(room: str) -> list[Event]:
    return []


class SimulatedWorker:
    """One worker: the parts of `worker.__main__` but for sound, minds, words and recordings."""

    def __init__(self, settings: Settings, capacity: int, enter: Enter, shown: Heartbeat) -> None:
        """Make a worker whose heartbeat has the model's fields of `shown`."""
        self.status = PublishedStatus(settings.model)
        self.status.heartbeat = shown.model_copy(
            update={"worker_id": self.status.worker_id, "state": "connecting"}
        )
        self.id = self.status.worker_id
        self.ready = asyncio.Event()
        self.hosts = Hosts()
        self.publisher = HeartbeatPublisher(settings, self.status, self.hosts)
        self.engine = Engine(echo_model(capacity), lambda error: log.error("engine", error=error))
        self.engine.start()
        self.admission = JobAdmission(lambda: self.engine.free)
        self.publisher.attach(self.engine, self.admission)
        self._seal, self._enter = Seal(settings), enter
        context = WorkerContext(
            settings,
            self.engine,
            None,
            self.admission,
            self.hosts,
            self.publisher.now,
            lambda room, event: None,
            None,
            None,
            None,
            _no_events,
        )
        self.server = make_server(context, self.publisher, self.id, lambda reason: None)
        self.server._entrypoint_fnc = self.take  # type: ignore[assignment]
        self.server.on("worker_registered", lambda *_: self.be_ready())

    def be_ready(self) -> None:
        """Publish that jobs may come."""
        self.status.change("ready")
        self.ready.set()
        self.publisher.now()

    async def run(self, registers: bool) -> None:
        """Write heartbeats, and take LiveKit's jobs if it `registers`, until stopped."""
        if not registers:
            self.be_ready()
        serving = asyncio.create_task(self.server.run()) if registers else None
        await self.publisher.run()
        if serving is not None:
            await self.server.aclose()
            await asyncio.gather(serving, return_exceptions=True)
        self.engine.stop()

    async def ask(self, job: JobRequest) -> None:
        """Accept or refuse a job."""
        answer: Any = vars(self.server)["_request_fnc"]
        await answer(job)

    async def take(self, info: RunningJobInfo) -> None:
        """Host the room of an accepted job."""
        spec = self._seal.open(info.job.metadata, info.job.room.name)
        self.host(spec, info.job.id)
        await self._enter(spec.room, info)

    def host(self, spec: RoomSpec, job_id: str = "") -> None:
        """Host a room as `worker.room.host` does, without its sound."""

        def leave(_: str) -> None:
            self.hosts.remove(hosting, "left")
            for occupant in taken:
                self.engine.leave(occupant)

        def pass_over(_: Any) -> Any:
            """Do nothing."""

        hosting = Hosting(spec.room, spec.generation, leave, pass_over, pass_over, lambda: spec)
        self.hosts.add(hosting)
        taken = [self.engine.join(each, _deliver_nothing) for each in spec.personas]
        self.admission.release(job_id)
        self.publisher.now()


def _deliver_nothing(frame: SlotFrame) -> None:
    """Do nothing: no frame is pushed."""
