"""Workers without sound, many in one process: heartbeat, admission and jobs are the real code.

Each registers with LiveKit under its own name, takes jobs, and joins a room by signalling alone.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import structlog

from protocol.config.settings import Settings
from protocol.heartbeat import Heartbeat
from protocol.room_spec import RoomSpec
from worker.engine.echo import echo_model
from worker.engine.engine import Engine
from worker.engine.slots import SlotFrame
from worker.fleet.admission import JobAdmission
from worker.fleet.heartbeat import HeartbeatPublisher
from worker.fleet.hosts import Hosting, Hosts
from worker.fleet.status import PublishedStatus
from worker.jobs import Jobs
from worker.room.job import RoomJob

log = structlog.get_logger(__name__)

Enter = Callable[[RoomJob], Coroutine[Any, Any, None]]  # joins a room as its host


@dataclass(slots=True)
class _Served:
    """A job whose host is a record in this process."""

    leave: Callable[[str], None]
    ended: Future[None] = field(default_factory=Future[None])


class SimulatedWorker:
    """One worker: the parts of `worker.worker` but for sound, minds, words and recordings."""

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
        self._enter = enter
        self._entering: set[asyncio.Task[None]] = set()
        about = settings, "echo", self.admission, self.hosts, self.publisher
        self.jobs = Jobs(*about, self._serve)
        self.server = self.jobs.make_server(self.id, lambda reason: None)
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

    def _serve(self, job: RoomJob) -> _Served:
        """Host the room of an accepted job."""
        entering = asyncio.create_task(self._enter(job))
        self._entering.add(entering)
        entering.add_done_callback(self._entering.discard)
        return _Served(self.host(job.spec, job.id).leave)

    def host(self, spec: RoomSpec, job_id: str = "") -> Hosting:
        """Host a room as `worker.room.host` does, without its sound."""

        def leave(_: str) -> None:
            self.hosts.remove(hosting, "left")
            for occupant in taken:
                self.engine.leave(occupant)

        def pass_over(*_: Any) -> Any:
            """Do nothing."""

        hosting = Hosting(spec.room, spec.generation, leave, pass_over, pass_over, lambda: spec)
        self.hosts.add(hosting)
        taken = [self.engine.join(each, _deliver_nothing) for each in spec.personas]
        self.admission.release(job_id)
        self.publisher.now()
        return hosting


def _deliver_nothing(frame: SlotFrame) -> None:
    """Do nothing: no frame is pushed."""
