"""Data for operators: the state of LiveKit, redis and each worker, and Prometheus metrics."""

from http import HTTPStatus

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from redis.exceptions import RedisError

from protocol.config.addresses import is_loopback
from protocol.heartbeat import Heartbeat, SpeechRecognition, WorkerState
from token_service import metrics
from token_service.errors import REFUSALS
from token_service.fleet.fleet import Fleet, slots_of
from token_service.http.access import CountedRoute, Observer
from token_service.refusals import Refused, Unavailable, redis_trouble
from token_service.service import OpenService

router = APIRouter(tags=["status"], route_class=CountedRoute, responses=REFUSALS)


class WorkerStatus(BaseModel):
    """One worker."""

    id: str = Field(description="The worker's id; strangers (`open`) see a number instead.")
    state: WorkerState
    reason: str
    model: str
    keys_and_values: str = Field(
        description="The type of a session's stored memory, and the reason for it."
    )
    slots_total: int
    slots_used: int
    slots_free: int
    slots_held: int = Field(description="Slots reserved for rooms whose host has not come yet.")
    step_p99_ms: float | None
    rooms: int
    stt: SpeechRecognition = Field(description="Whether the worker writes people's words.")
    guarded: bool = Field(description="Whether the worker gets no rooms because it failed often.")


class ServiceStatus(BaseModel):
    """The whole service. `livekit` and `redis` are `ok` or a sentence."""

    livekit: str
    redis: str
    workers: list[WorkerStatus]
    rooms_waiting: int


@router.get("/status")
async def get_status(service: OpenService, caller: Observer) -> ServiceStatus:
    """Return the state of LiveKit, redis and each worker."""
    livekit, redis, fleet, waiting = "ok", "ok", Fleet(), 0
    try:
        fleet = await service.workers.fleet()
        waiting = len(fleet.schedule.queue)
        redis = await service.space.eviction() or "ok"
        await service.space.check()
    except RedisError as error:
        redis = str(redis_trouble(error))
    except Unavailable as full:
        redis = str(full)
    try:
        await service.rooms.ping()
    except Unavailable as away:
        livekit = str(away)
    held = fleet.reserved()
    workers = [
        _worker_status(
            worker,
            fleet,
            held[worker.worker_id],
            str(number) if caller.is_stranger else worker.worker_id,
        )
        for number, worker in enumerate(fleet.workers, 1)
    ]
    return ServiceStatus(livekit=livekit, redis=redis, workers=workers, rooms_waiting=waiting)


def _worker_status(worker: Heartbeat, fleet: Fleet, held: int, shown_id: str) -> WorkerStatus:
    return WorkerStatus(
        id=shown_id,
        state=worker.state,
        reason=worker.reason,
        model=worker.model,
        keys_and_values=worker.keys_and_values,
        slots_total=slots_of(worker),
        slots_used=worker.slots_used,
        slots_free=worker.slots_free,
        slots_held=held,
        step_p99_ms=worker.step_p99_ms,
        rooms=len(worker.hosts),
        stt=worker.stt,
        guarded=fleet.schedule.is_open(worker.worker_id),
    )


@router.get("/metrics", include_in_schema=False)
async def prometheus(service: OpenService, caller: Observer) -> Response:
    """Return this process's counters and the fleet's figures in Prometheus' format.

    Strangers of `AUTH_MODE=open` get none, but from this machine: an Ingress passes every path.
    """
    if caller.is_stranger and not is_loopback(caller.address):
        sentence = "AUTH_MODE=open gives strangers no figures; expected a key with 'observe'."
        raise Refused(HTTPStatus.FORBIDDEN, "scope_missing", sentence)
    try:
        fleet = await service.workers.fleet()
    except RedisError:
        fleet = Fleet()  # figures of before would look like those of now
    metrics.SLOTS_FREE.set(fleet.slots_free)
    metrics.SLOTS_USED.set(fleet.slots_used)
    metrics.WORKERS_READY.set(len(fleet.ready))
    metrics.ROOMS_WAITING.set(len(fleet.schedule.queue))
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
