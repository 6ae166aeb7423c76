"""The jobs that LiveKit offers to this worker: one is the hosting of one room.

A dispatch is refused if the token service did not seal it, if its room has a newer one or has
ended, or if too few slots are free.
"""

from collections.abc import Callable
from dataclasses import replace

import structlog
from livekit.agents import AgentServer, JobContext, JobRequest

from protocol import wire
from protocol.errors import InvalidInput
from protocol.room_spec import RoomSpec
from protocol.seal import Seal
from worker.context import WorkerContext
from worker.heartbeat import HeartbeatPublisher
from worker.livekit_private.registration import Registration
from worker.room.host import Host
from worker.room.persona.participant import attributes_of, identity_of
from worker.traces import traced

log = structlog.get_logger(__name__)


def make_server(
    context: WorkerContext,
    publisher: HeartbeatPublisher,
    worker_id: str,
    on_lost: Callable[[str], None],
) -> AgentServer:
    """Return the server that accepts or refuses jobs and runs a `Host` for each."""
    server = Registration(context.settings, on_lost)
    seal = Seal(context.settings)

    async def request(job: JobRequest) -> None:
        try:
            spec = seal.open(job.job.metadata, job.room.name)
        except InvalidInput as error:
            log.warning("job_refused", job=job.id, room=job.room.name, reason=str(error))
            return await job.reject(terminate=True)
        if await publisher.is_outdated(spec):
            log.info("job_outdated", job=job.id, room=spec.room, generation=spec.newest)
            return await job.reject(terminate=True)
        spec, stands_by = _own(spec)
        if not context.admission.reserve(job.id, len(spec.personas)):
            log.info("job_refused", job=job.id, room=spec.room, reason="not enough free slots")
            context.hosts.refuse(spec)
            publisher.now()
            return await job.reject(terminate=False)
        first = spec.personas[0]
        await job.accept(
            identity=identity_of(first),
            name=first.label,
            attributes=attributes_of(first, spec, context.engine.model.name, stands_by),
        )

    async def serve_room(ctx: JobContext) -> None:
        spec, stands_by = _own(seal.open(ctx.job.metadata, ctx.job.room.name))
        with (
            structlog.contextvars.bound_contextvars(room=spec.room, generation=spec.generation),
            traced(spec, context.emit) as emit,
        ):
            await Host(ctx, spec, replace(context, emit=emit), stands_by=stands_by).run()

    server.rtc_session(serve_room, agent_name=wire.agent_name(worker_id), on_request=request)
    return server


def _own(spec: RoomSpec) -> tuple[RoomSpec, bool]:
    """Return the spec of the host that a dispatch asks for, and whether it is to stand by."""
    return (spec.moved(), True) if spec.standby else (spec, False)
