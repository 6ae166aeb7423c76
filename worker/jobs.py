"""The jobs that LiveKit offers to this worker: one is the hosting of one room.

A dispatch is refused if the token service did not seal it, if its room has a newer one or has
ended, or if too few slots are free.
"""

from collections.abc import Callable

import structlog
from livekit.agents import AgentServer, JobRequest
from livekit.agents.job import RunningJobInfo

from protocol import wire
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.room_spec import RoomSpec
from protocol.seal import Seal
from worker.fleet.admission import JobAdmission
from worker.fleet.heartbeat import HeartbeatPublisher
from worker.fleet.hosts import Hosts
from worker.livekit_private.job_pool import ServedJob
from worker.livekit_private.registration import Registration
from worker.room.job import RoomJob
from worker.room.persona.participant import attributes_of, identity_of

log = structlog.get_logger(__name__)


class Jobs:
    """Accepts and refuses jobs, and has those that LiveKit assigns served. Main loop."""

    def __init__(
        self,
        settings: Settings,
        model: str,
        admission: JobAdmission,
        hosts: Hosts,
        publisher: HeartbeatPublisher,
        serve: Callable[[RoomJob], ServedJob],
    ) -> None:
        self._settings, self._model = settings, model
        self._admission, self._hosts, self._publisher = admission, hosts, publisher
        self._serve = serve
        self._seal = Seal(settings)

    def make_server(self, worker_id: str, on_disconnected: Callable[[str], None]) -> AgentServer:
        """Return the registration of a worker under a name of its own."""
        name = wire.agent_name(worker_id)
        return Registration(self._settings, name, on_disconnected, self.answer, self.start)

    async def answer(self, job: JobRequest) -> None:
        """Accept or refuse a job."""
        try:
            spec = self._seal.open(job.job.metadata, job.room.name)
        except InvalidInput as error:
            log.warning("job_refused", job=job.id, room=job.room.name, reason=str(error))
            return await job.reject(terminate=True)
        if await self._publisher.is_outdated(spec):
            log.info("job_outdated", job=job.id, room=spec.room, generation=spec.newest)
            return await job.reject(terminate=True)
        spec, stands_by = _own(spec)
        if not self._admission.reserve(job.id, len(spec.personas)):
            log.info("job_refused", job=job.id, room=spec.room, reason="not enough free slots")
            self._hosts.refuse(spec)
            self._publisher.now()
            return await job.reject(terminate=False)
        first = spec.personas[0]
        await job.accept(
            identity=identity_of(first),
            name=first.label,
            attributes=attributes_of(first, spec, self._model, stands_by),
        )

    def start(self, info: RunningJobInfo) -> ServedJob:
        """Have the room of an accepted job hosted."""
        spec, stands_by = _own(self._seal.open(info.job.metadata, info.job.room.name))
        return self._serve(RoomJob(info.job.id, info.url, info.token, spec, stands_by))


def _own(spec: RoomSpec) -> tuple[RoomSpec, bool]:
    """Return the spec of the host that a dispatch asks for, and whether it is to stand by."""
    return (spec.moved(), True) if spec.standby else (spec, False)
