"""Public data about the service: liveness, readiness, personas, voices, configuration."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from redis.exceptions import RedisError

from protocol import wire
from protocol.config.settings import Settings
from protocol.personas import PERSONAS_PER_ROOM, PROMPT_LIMIT, Persona
from protocol.sampling import UsualSampling
from token_service.errors import REFUSALS
from token_service.fleet.fleet import Fleet
from token_service.fleet.prompt_limits import limit_of
from token_service.http.access import ANONYMOUS
from token_service.http.cacheable import CacheableRoute
from token_service.http.page import LOGO
from token_service.http.token_request import METADATA_BYTES, NAME_BYTES
from token_service.refusals import Unavailable, redis_trouble
from token_service.service import OpenService, Service

router = APIRouter(tags=["status"])
LIMITED: dict[int | str, dict[str, Any]] = {status: REFUSALS[status] for status in (429, 500, 503)}
cacheable = APIRouter(
    tags=["status"], route_class=CacheableRoute, dependencies=[ANONYMOUS], responses=LIMITED
)


class Health(BaseModel):
    """The process lives."""

    status: str = "ok"


class Readiness(BaseModel):
    """Whether a new conversation can begin now; else the reason, as a code and a sentence."""

    ready: bool
    code: str = ""
    reason: str = ""


class ModelView(BaseModel):
    """The model that the workers run."""

    name: str
    note: str
    prompts: bool = Field(description="Whether the model follows a persona's prompt.")
    sampling: UsualSampling = Field(description="The default sampling.")


class ListedPersona(Persona):
    """A persona of the catalogue."""

    followed: bool | None = Field(
        description="Whether the running model follows the prompt; null while no worker runs."
    )
    lines: list[str] | None = Field(
        description="The only lines that the persona can be told to say; null: any line."
    )


class RequestLimits(BaseModel):
    """The limits of a request."""

    prompt_characters: int = PROMPT_LIMIT
    prompt_tokens: int | None = Field(
        default=None, description="Of the running model; null: it follows no prompts."
    )
    personas_per_room: int = PERSONAS_PER_ROOM
    name_bytes: int = NAME_BYTES
    metadata_bytes: int = METADATA_BYTES


class WordsView(BaseModel):
    """Whether the words of people are written."""

    written: bool
    model: str
    reason: str = Field(description="Why they are not; empty if they are.")


class PageLook(BaseModel):
    """The operator's own name, colour, logo and links; empty where there is none."""

    name: str
    colour: str
    logo: str = Field(description="A path beside the page's own.")
    terms: str
    privacy: str


class PageConfig(Readiness):
    """The configuration that the page reads when it loads."""

    livekit_url: str
    agent_name: str
    default_persona: str
    page: PageLook
    languages: list[str] = Field(description="The languages that the model speaks.")
    personas: list[Persona]
    model: ModelView | None
    people_words: WordsView
    voices: list[str]
    ratings: bool = Field(description="Whether people are asked how it went.")
    slots_free: int
    slots_used: int
    limits: RequestLimits


@router.get("/health")
async def get_health() -> Health:
    """Answer 200 while the process lives."""
    return Health()


@router.get(
    "/ready",
    response_model=Readiness,
    dependencies=[ANONYMOUS],
    responses={429: REFUSALS[429], 503: {"model": Readiness, "description": "Not ready."}},
)
async def get_readiness(service: OpenService) -> JSONResponse:
    """Answer 200 if LiveKit and redis answer and a worker has a free slot, else 503."""
    readiness, _ = await _readiness(service)
    return JSONResponse(readiness.model_dump(), 200 if readiness.ready else 503)


@cacheable.get("/personas")
async def list_personas(service: OpenService) -> list[ListedPersona]:
    """List the catalogue, and tell whether the running model follows the prompts."""
    _, fleet = await _readiness(service)
    model = _model(fleet)
    followed = model.prompts if model is not None else None
    return [
        ListedPersona(**persona.model_dump(), followed=followed, lines=fleet.lines(persona.voice))
        for persona in service.catalogue.values()
    ]


@cacheable.get("/voices")
async def list_voices(service: OpenService) -> list[str]:
    """List the voices to choose from; the list is empty if the model has a single one."""
    return list((await service.workers.fleet()).voices)


@cacheable.get("/api/config")
async def get_config(service: OpenService) -> PageConfig:
    """Return the page's configuration: addresses, personas, voices, limits and readiness."""
    readiness, fleet = await _readiness(service)
    return PageConfig(
        livekit_url=service.settings.livekit_public_url,
        agent_name=wire.AGENT_NAME,
        default_persona=service.settings.default_persona,
        page=look_of(service.settings),
        languages=list(service.settings.languages),
        personas=list(service.catalogue.values()),
        model=_model(fleet),
        people_words=_people_words(fleet),
        voices=list(fleet.voices),
        ratings=service.settings.ratings,
        slots_free=fleet.slots_free,
        slots_used=fleet.slots_used,
        limits=RequestLimits(prompt_tokens=limit_of(fleet)),
        **readiness.model_dump(),
    )


async def _readiness(service: Service) -> tuple[Readiness, Fleet]:
    """Check the audit log, redis, LiveKit and the workers; the first failure is the reason."""
    fleet = Fleet()
    try:
        service.audit.require()
        fleet = await service.workers.fleet()
        await service.rooms.ping()
        await service.space.check()
        obstacle = fleet.obstacle(1)
    except RedisError as error:
        obstacle = redis_trouble(error)
    except Unavailable as error:
        obstacle = error
    if obstacle is None:
        return Readiness(ready=True), fleet
    return Readiness(ready=False, code=obstacle.code, reason=str(obstacle)), fleet


def look_of(settings: Settings) -> PageLook:
    """Return the operator's own look of the page."""
    return PageLook(
        name=settings.page_name,
        colour=settings.page_colour,
        logo="" if settings.page_logo is None else LOGO,
        terms=settings.page_terms or "",
        privacy=settings.page_privacy or "",
    )


def _model(fleet: Fleet) -> ModelView | None:
    for worker in (*fleet.ready, *fleet.workers):
        return ModelView(
            name=worker.model,
            note=worker.model_note,
            prompts=worker.model_prompts,
            sampling=worker.model_sampling,
        )
    return None


def _people_words(fleet: Fleet) -> WordsView:
    """Return whether words are written where the next conversation goes."""
    for worker in (*fleet.ready, *fleet.workers):
        stt = worker.stt
        return WordsView(written=stt.state == "ready", model=stt.model, reason=stt.reason)
    return WordsView(written=False, model="", reason="No worker is running.")


router.include_router(cacheable)
