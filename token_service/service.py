"""The parts of the running service, opened with the app and closed with it."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from livekit import api
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from protocol.config.secret import reveal
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.personas import Catalogue, load_catalogue
from protocol.seal import Seal
from token_service.auth.audit import Audit
from token_service.auth.authenticator import Authenticator, Authenticators, authenticators
from token_service.auth.guest_links import GuestLinks
from token_service.auth.rate_limit import RateLimiter
from token_service.fleet.breakers import Breakers
from token_service.fleet.holds import Holds
from token_service.fleet.prompt_limits import PromptLimits
from token_service.fleet.reader import FleetReader
from token_service.fleet.reservations import Reservations
from token_service.fleet.space import Space
from token_service.rooms.admission import RoomAdmission
from token_service.rooms.commands import Commands
from token_service.rooms.dispatch_import import DispatchImport
from token_service.rooms.events import EventStore
from token_service.rooms.forgotten import Forgotten
from token_service.rooms.issued_tokens import SLACK_S, IssuedTokens
from token_service.rooms.livekit import LiveKitRooms
from token_service.rooms.livekit_client import LiveKitClient
from token_service.rooms.reconciler import Reconciler
from token_service.rooms.sessions import Sessions
from token_service.rooms.store import SpecStore

REDIS_TIMEOUT_S = 2.0
STREAMS = 200  # of events, in this process; each holds a connection to redis
OTHER_CONNECTIONS = 100  # redis-py's own limit, which would be for all together


@dataclass(slots=True)
class Service:
    """Everything that a route may need."""

    settings: Settings
    catalogue: Catalogue
    redis: Redis
    rooms: LiveKitRooms
    verifier: api.TokenVerifier  # of what LiveKit signs
    workers: FleetReader
    admission: RoomAdmission
    dispatcher: Reconciler
    places: Reservations
    events: EventStore
    specs: SpecStore
    passes: IssuedTokens
    sessions: Sessions
    commands: Commands
    gate: Authenticator
    guests: GuestLinks
    forgotten: Forgotten
    limiter: RateLimiter
    space: Space
    audit: Audit
    streams: Counter[str] = field(default_factory=Counter[str])  # of events, open now, by caller
    leaving: bool = False  # the process was told to end: streams end by themselves


def catalogue_of(settings: Settings) -> Catalogue:
    """Read the personas and check the default one. Raises `InvalidInput`."""
    catalogue = load_catalogue(settings.personas_dir)
    if settings.default_persona not in catalogue:
        raise InvalidInput(
            f"DEFAULT_PERSONA={settings.default_persona!r}: choices: {', '.join(catalogue)}"
        )
    return catalogue


@asynccontextmanager
async def open_service(
    settings: Settings, catalogue: Catalogue, entrances: Authenticators | None = None
) -> AsyncGenerator[Service]:
    """Connect nothing yet, but make ready to: redis and LiveKit may be away and come later."""
    ring, users = entrances or authenticators(settings)
    redis = _redis(settings)
    secret = reveal(settings, "livekit_api_secret", "rooms and webhooks")
    livekit = LiveKitClient(settings.livekit_url, settings.livekit_api_key, secret)
    verifier = api.TokenVerifier(settings.livekit_api_key, secret)
    guests = GuestLinks(redis, settings)
    async with AsyncExitStack() as open_parts:
        if users is not None:
            open_parts.push_async_callback(users.close)
        async with redis, livekit:
            yield _assemble(
                settings,
                catalogue,
                redis,
                LiveKitRooms(livekit, Seal(settings)),
                verifier,
                Authenticator(settings, ring, users, guests),
                guests,
            )


def _assemble(
    settings: Settings,
    catalogue: Catalogue,
    redis: Redis,
    rooms: LiveKitRooms,
    verifier: api.TokenVerifier,
    gate: Authenticator,
    guests: GuestLinks,
) -> Service:
    """Make every part of the service, each of those that it needs."""
    specs = SpecStore(redis, settings.promise_ttl_s, settings.token_ttl_s + SLACK_S)
    limiter, space, holds = RateLimiter(redis, settings), Space(redis), Holds(redis)
    breakers, places, events = Breakers(redis), Reservations(redis), EventStore(redis)
    workers = FleetReader(redis, breakers)
    passes = IssuedTokens(redis, rooms, specs, guests, settings)
    forgotten, prompts = Forgotten(redis, rooms), PromptLimits(redis)
    hold_s, usual = settings.reservation_s, settings.default_persona
    admission = RoomAdmission(
        catalogue, specs, workers, rooms, places, events, prompts, holds, limiter, space, hold_s
    )
    dispatch_import = DispatchImport(catalogue, usual, specs, rooms, events, workers, prompts)
    dispatcher = Reconciler(
        specs, workers, rooms, places, breakers, events, passes, dispatch_import, forgotten, prompts
    )
    sessions = Sessions(
        redis, admission, specs, workers, rooms, places, events, passes, dispatcher, forgotten
    )
    return Service(
        settings=settings,
        catalogue=catalogue,
        redis=redis,
        rooms=rooms,
        verifier=verifier,
        workers=workers,
        admission=admission,
        dispatcher=dispatcher,
        places=places,
        events=events,
        specs=specs,
        passes=passes,
        commands=Commands(redis, workers),
        gate=gate,
        guests=guests,
        forgotten=forgotten,
        limiter=limiter,
        space=space,
        audit=Audit(settings.audit_log),
        sessions=sessions,
    )


def _redis(settings: Settings) -> Redis:
    return Redis.from_url(
        settings.redis_url,
        decode_responses=True,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        protocol=2,
        retry=Retry(ConstantBackoff(0.05), 1),  # once: a pooled connection may be stale
        max_connections=STREAMS + OTHER_CONNECTIONS,
    )


async def _of_request(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


OpenService = Annotated[Service, Depends(_of_request)]
