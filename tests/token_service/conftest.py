"""What the token service's tests share: an empty redis, a service, its app, a room of their own."""

from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from redis.asyncio import Redis

from harness.servers import LiveKit
from protocol.config.settings import Settings
from tests.conftest import SettingsFor
from tests.token_service.auth.strangers import Keys
from tests.token_service.players import running
from token_service.fleet.schedule import SCHEDULE_KEY
from token_service.rooms.reconciler import Reconciler
from token_service.rooms.store import SINCE_FIELD
from token_service.service import Service, catalogue_of, open_service

FUZZ_DATABASE = 8
OWN_DATABASE = 9  # heartbeats are every test's: those of other tests are in another database


@pytest.fixture
def own_redis_url(redis_url: str) -> str:
    """The real redis, a database that only these tests use."""
    return redis_url.removesuffix("/0") + f"/{OWN_DATABASE}"


@pytest.fixture
async def redis(own_redis_url: str) -> AsyncGenerator[Redis]:
    """A client of that database, empty at first."""
    async with Redis.from_url(own_redis_url, decode_responses=True) as client:
        await client.flushdb()
        await client.hset(SCHEDULE_KEY, SINCE_FIELD, "1")  # else hosts are given time to restore
        yield client


@pytest.fixture
def settings(settings_for: SettingsFor, livekit: LiveKit, own_redis_url: str) -> Settings:
    """The product's defaults with the test's servers and an address for browsers of its own."""
    return settings_for(
        livekit=livekit, redis_url=own_redis_url, livekit_public_url="wss://rooms.example"
    )


@pytest.fixture
async def service(settings: Settings, redis: Redis) -> AsyncGenerator[Service]:
    """The service's parts without HTTP and without the poll."""
    async with open_service(settings, catalogue_of(settings)) as service:
        yield service


@pytest.fixture
def dispatcher(service: Service) -> Reconciler:
    """The rule, applied when the test says so."""
    return service.dispatcher


@pytest.fixture
async def http(settings: Settings, redis: Redis) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the running app, poll included."""
    async with running(settings) as client:
        yield client


@pytest.fixture
def room() -> str:
    """A room's name that no other test uses."""
    return f"room-{uuid4().hex}"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """An empty file."""
    return Keys(tmp_path / "keys.toml")


@pytest.fixture
def keyed(settings: Settings, keys: Keys) -> Settings:
    """Settings of a service that wants API keys."""
    return settings.model_copy(update={"auth_mode": ("api_keys",), "api_keys_file": keys.path})
