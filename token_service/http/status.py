"""What the service tells about itself: alive, ready, who can be talked with."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from redis.exceptions import RedisError

from protocol import wire
from protocol.personas import PERSONAS_PER_ROOM, PROMPT_LIMIT, Persona
from protocol.sampling import UsualSampling
from token_service.auth.authenticator import ANONYMOUS
from token_service.errors import Unavailable, redis_trouble
from token_service.fleet.prompt_limits import limit_of
from token_service.fleet.reader import Fleet
from token_service.http.token_request import METADATA_BYTES, NAME_BYTES
from token_service.service import OpenService, Service

router = APIRouter(tags=["status"])


class Readiness(BaseModel):
    """Whether a person could begin to talk now, and if not, why: a code and a sentence."""

    ready: bool
    code: str = ""
    reason: str = ""


class ModelView(BaseModel):
    """The model that the workers run."""

    name: str
    note: str
    prompts: bool  # it follows a persona's prompt, not its sampling alone
    sampling: UsualSampling  # of a persona that asks for no other


class ListedPersona(Persona):
    """A persona of the catalogue. `followed`: whether the model at hand follows its prompt.

    Moshi has no prompts: there a persona is its sampling alone. None: no worker says.
    `lines`: the only ones that it can be told to say. None: any line, or no worker says.
    """

    followed: bool | None
    lines: list[str] | None


class RequestLimits(BaseModel):
    """What a request may ask for at most."""

    prompt_characters: int = PROMPT_LIMIT
    prompt_tokens: int | None = None  # as the model at hand counts; None: it follows no prompts
    personas_per_room: int = PERSONAS_PER_ROOM
    name_bytes: int = NAME_BYTES
    metadata_bytes: int = METADATA_BYTES


class PageConfig(BaseModel):
    """Everything that the page asks for when it loads."""

    livekit_url: str
    agent_name: str
    default_persona: str
    personas: list[Persona]
    model: ModelView | None
    voices: list[str]
    slots_free: int
    slots_used: int
    limits: RequestLimits
    ready: bool
    code: str
    reason: str


@router.get("/health")
async def health() -> dict[str, str]:
    """Say that the process is alive."""
    return {"status": "ok"}


@router.get("/ready", response_model=Readiness, dependencies=[ANONYMOUS])
async def ready(service: OpenService) -> JSONResponse:
    """Say whether LiveKit and redis answer and a worker has a free slot: 200, else 503."""
    readiness, _ = await _look(service)
    status = 200 if readiness.ready else 503
    headers = {"Cache-Control": "no-store"}
    return JSONResponse(readiness.model_dump(), status_code=status, headers=headers)


@router.get("/personas", dependencies=[ANONYMOUS])
async def personas(service: OpenService) -> list[ListedPersona]:
    """List the catalogue, and say whether the model that runs follows its prompts."""
    _, fleet = await _look(service)
    model = _model(fleet)
    followed = model.prompts if model is not None else None
    return [
        ListedPersona(**persona.model_dump(), followed=followed, lines=fleet.lines(persona.voice))
        for persona in service.catalogue.values()
    ]


@router.get("/voices", dependencies=[ANONYMOUS])
async def voices(service: OpenService) -> list[str]:
    """List the voices to choose from; none where the model has a single one."""
    return list((await service.workers.fleet()).voices)


@router.get("/api/config", dependencies=[ANONYMOUS])
async def page_config(service: OpenService, response: Response) -> PageConfig:
    """Tell the page where to connect, whom one can talk with and whether one can now."""
    response.headers["Cache-Control"] = "no-store"
    readiness, fleet = await _look(service)
    return PageConfig(
        livekit_url=service.settings.livekit_public_url,
        agent_name=wire.AGENT_NAME,
        default_persona=service.settings.default_persona,
        personas=list(service.catalogue.values()),
        model=_model(fleet),
        voices=list(fleet.voices),
        slots_free=fleet.slots_free,
        slots_used=fleet.slots_used,
        limits=RequestLimits(prompt_tokens=limit_of(fleet)),
        **readiness.model_dump(),
    )


async def _look(service: Service) -> tuple[Readiness, Fleet]:
    """Ask redis, LiveKit and the workers; the first that is not ready is the reason."""
    fleet = Fleet()
    try:
        service.audit.require()
        fleet = await service.workers.fleet()
        await service.rooms.ping()
        await service.space.check()
    except RedisError as error:
        return _not_ready(redis_trouble(error)), fleet
    except Unavailable as away:
        return _not_ready(away), fleet
    obstacle = fleet.obstacle(1)
    return (_not_ready(obstacle) if obstacle else Readiness(ready=True)), fleet


def _not_ready(obstacle: Unavailable) -> Readiness:
    return Readiness(ready=False, code=obstacle.code, reason=str(obstacle))


def _model(fleet: Fleet) -> ModelView | None:
    for worker in (*fleet.ready, *fleet.workers):
        return ModelView(
            name=worker.model,
            note=worker.model_note,
            prompts=worker.model_prompts,
            sampling=worker.model_sampling,
        )
    return None
