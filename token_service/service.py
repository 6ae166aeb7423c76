"""The parts of the running service, opened and closed with the app."""

from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Annotated

from aiohttp import ClientSession
from fastapi import Depends, Request
from livekit import api
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from protocol.config.secret import reveal
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.personas import Catalogue, load_catalogue
from protocol.redis.client import open_redis
from protocol.room_spec import RoomSpec
from protocol.seal import Seal
from protocol.websocket_ticket import Tickets
from protocol.wire import Consent
from token_service.auth.audit import Audit
from token_service.auth.authenticator import Authenticator, Credentials, credentials_of
from token_service.auth.callers import Caller
from token_service.auth.guest_links import GuestLinks
from token_service.auth.rate_limit import RateLimiter
from token_service.fleet.prompt_limits import PromptLimits
from token_service.fleet.pulse import Pulse
from token_service.fleet.reader import FleetReader
from token_service.fleet.space import Space
from token_service.refusals import Unavailable
from token_service.rooms.admission import RoomAdmission
from token_service.rooms.dispatch_import import DispatchImport
from token_service.rooms.events import EventStore
from token_service.rooms.forgotten import Forgotten
from token_service.rooms.issued_tokens import SLACK_S, IssuedTokens
from token_service.rooms.livekit import LiveKitRooms
from token_service.rooms.livekit_client import LiveKitClient
from token_service.rooms.moves import Moves
from token_service.rooms.reconciler import Reconciler
from token_service.rooms.store import SpecStore
from token_service.sessions.commands import Commands
from token_service.sessions.recordings import StoredRecordings
from token_service.sessions.sessions import Sessions
from token_service.sessions.worker_sockets import WorkerSockets

REDIS_TIMEOUT_S = 2.0
STREAMS = 200  # event streams of this process; each holds a connection to redis
OTHER_CONNECTIONS = 100  # to redis: redis-py's own limit, which would be for all together


class Service:
    """The parts of the service, which routes use. None of them connects before its first use."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        credentials: Credentials,
        redis: Redis,
        livekit: LiveKitClient,
        http: ClientSession,
    ) -> None:
        secret = reveal(settings, "livekit_api_secret", "webhooks")
        self.verifier = api.TokenVerifier(settings.livekit_api_key, secret)
        self.settings, self.catalogue, self.redis = settings, catalogue, redis
        self.audit = Audit(settings.audit_log)
        self._streams = Counter[str]()  # open event streams, by caller
        self.leaving = False  # after a signal to end: event streams then end by themselves
        links = self.links = GuestLinks(settings)
        limiter = self.limiter = RateLimiter(redis, settings)
        self.authenticator = Authenticator(settings, credentials, links, limiter)

        rooms = self.rooms = LiveKitRooms(livekit, Seal(settings))
        workers, events, space = FleetReader(redis), EventStore(redis), Space(redis)
        token_s = settings.token_ttl_s + SLACK_S
        specs = self.specs = SpecStore(
            redis, workers, max(settings.promise_ttl_s, token_s), token_s
        )
        tokens = IssuedTokens(redis, rooms, specs, settings)
        forgotten, prompts = Forgotten(specs, workers, rooms), PromptLimits(redis)
        hold_s, usual = settings.reservation_s, settings.default_persona
        admission = RoomAdmission(
            catalogue,
            specs,
            workers,
            rooms,
            events,
            prompts,
            limiter,
            space,
            hold_s,
            settings.may_record,
        )
        imports = DispatchImport(catalogue, usual, specs, rooms, events, workers, prompts)
        moves = self.moves = Moves(specs, workers, rooms)
        pulse = self.pulse = Pulse(redis)
        reconciler = Reconciler(
            specs, workers, rooms, events, tokens, imports, forgotten, prompts, moves, pulse
        )
        self.space, self.events, self.workers = space, events, workers
        self.tokens, self.forgotten, self.admission = tokens, forgotten, admission
        self.reconciler, self.commands = reconciler, Commands(redis, workers)
        self.recordings = StoredRecordings(settings, specs, workers)
        self.sockets = WorkerSockets(catalogue, prompts, Tickets(settings), http)
        self.sessions = Sessions(
            admission, specs, workers, rooms, events, tokens, reconciler, forgotten
        )

    def consent_of(self, spec: RoomSpec) -> Consent | None:
        """Return how people of a room come to be recorded; None if it is not recorded."""
        return self.settings.record_consent if spec.record else None

    @contextmanager
    def followed(self, caller: Caller) -> Generator[None]:
        """Count a stream of events while it is open. Raises `Unavailable` if there are too many."""
        key = caller.counted_as
        most = self.settings.streams_per_caller
        if self._streams.total() >= STREAMS or self._streams[key] >= most:
            raise Unavailable("busy", "Too many event streams are open. Try again soon.", 10)
        self._streams[key] += 1
        try:
            yield
        finally:
            self._streams[key] -= 1
            if not self._streams[key]:
                del self._streams[key]


def catalogue_of(settings: Settings) -> Catalogue:
    """Read the personas and check the default one. Raises `InvalidInput`."""
    catalogue = load_catalogue(settings.personas_dir, settings.model)
    if settings.default_persona not in catalogue:
        raise InvalidInput(
            f"DEFAULT_PERSONA={settings.default_persona!r}: choices: {', '.join(catalogue)}"
        )
    return catalogue


@asynccontextmanager
async def open_service(
    settings: Settings, catalogue: Catalogue, credentials: Credentials | None = None
) -> AsyncGenerator[Service]:
    credentials = credentials or credentials_of(settings)
    secret = reveal(settings, "livekit_api_secret", "rooms")
    livekit = LiveKitClient(settings.livekit_url, settings.livekit_api_key, secret)
    async with (
        AsyncExitStack() as open_parts,
        _redis(settings) as redis,
        livekit,
        ClientSession() as http,
    ):
        if (users := credentials[1]) is not None:
            open_parts.push_async_callback(users.close)
        yield Service(settings, catalogue, credentials, redis, livekit, http)


def _redis(settings: Settings) -> Redis:
    return open_redis(
        settings.redis_url,
        REDIS_TIMEOUT_S,
        decode_responses=True,
        protocol=2,
        retry=Retry(ConstantBackoff(0.05), 1),  # once: a pooled connection may be stale
        max_connections=STREAMS + OTHER_CONNECTIONS,
    )


async def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


OpenService = Annotated[Service, Depends(service_of)]
