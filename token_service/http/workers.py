"""What an operator asks: is LiveKit there, is redis, what does each worker do; and the counters."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from redis.exceptions import RedisError

from protocol.heartbeat import Heartbeat, WorkerState
from token_service import metrics
from token_service.auth.authenticator import Observer
from token_service.errors import Unavailable, redis_trouble
from token_service.fleet.reader import Fleet
from token_service.http.sessions import REFUSALS
from token_service.redis_check import forgotten
from token_service.server.route import CountedRoute
from token_service.service import OpenService, Service

router = APIRouter(tags=["status"], route_class=CountedRoute)


class WorkerStatus(BaseModel):
    """One worker. `slots_held`: for rooms on their way to it; `guarded`: it failed too often.

    `id`: the worker's own, by which it can be dispatched; for strangers (`open`) a number.
    """

    id: str
    state: WorkerState
    reason: str
    model: str
    slots_total: int
    slots_used: int
    slots_free: int
    slots_held: int
    step_p99_ms: float | None
    rooms: int
    guarded: bool


class ServiceStatus(BaseModel):
    """The whole service. `livekit` and `redis` are `ok` or a sentence."""

    livekit: str
    redis: str
    workers: list[WorkerStatus]
    rooms_waiting: int


@router.get("/status", responses=REFUSALS)
async def status(service: OpenService, caller: Observer, response: Response) -> ServiceStatus:
    """Tell how LiveKit, redis and each worker are."""
    response.headers["Cache-Control"] = "no-store"
    redis, fleet, waiting = "ok", Fleet(), 0
    try:
        fleet = await service.workers.fleet()
        waiting = len(await service.places.line())
        redis = await forgotten(service.redis) or "ok"
        await service.space.check()
    except RedisError as error:
        redis = str(redis_trouble(error))
    except Unavailable as full:
        redis = str(full)
    workers = [worker_status(worker, fleet) for worker in fleet.workers]
    if caller.is_stranger:
        workers = [each.model_copy(update={"id": str(n)}) for n, each in enumerate(workers, 1)]
    livekit = await _livekit(service)
    return ServiceStatus(livekit=livekit, redis=redis, workers=workers, rooms_waiting=waiting)


async def _livekit(service: Service) -> str:
    try:
        await service.rooms.ping()
    except Unavailable as away:
        return str(away)
    return "ok"


def worker_status(worker: Heartbeat, fleet: Fleet) -> WorkerStatus:
    """One worker as its heartbeat and the places show it."""
    return WorkerStatus(
        id=worker.worker_id,
        state=worker.state,
        reason=worker.reason,
        model=worker.model,
        slots_total=max(worker.slots_total, worker.slots_used + worker.slots_free),
        slots_used=worker.slots_used,
        slots_free=worker.slots_free,
        slots_held=fleet.held.get(worker.worker_id, 0),
        step_p99_ms=worker.step_p99_ms,
        rooms=len(worker.hosts),
        guarded=worker.worker_id in fleet.guarded,
    )


@router.get("/metrics", include_in_schema=False)
async def prometheus(service: OpenService, caller: Observer) -> Response:
    """Give this process's counters and the fleet's figures in Prometheus' format."""
    try:
        fleet = await service.workers.fleet()
        metrics.SLOTS_FREE.set(fleet.slots_free)
        metrics.SLOTS_USED.set(fleet.slots_used)
        metrics.WORKERS_READY.set(len(fleet.ready))
        metrics.ROOMS_WAITING.set(len(await service.places.line()))
    except RedisError:
        metrics.WORKERS_READY.set(0)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
