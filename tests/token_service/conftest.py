"""Fixtures of the token service's tests: an empty redis, settings, the service, its app, a room."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from harness.servers import LiveKit, wait_until
from protocol.config.settings import Settings
from protocol.heartbeat import HEARTBEAT_TTL_S
from tests.conftest import SettingsFor
from tests.token_service.auth.callers import Keys
from tests.token_service.players import running
from token_service.fleet.schedule import SCHEDULE_KEY
from token_service.rooms.reconciler import Reconciler
from token_service.rooms.store import SINCE_FIELD
from token_service.service import Service, catalogue_of, open_service

FUZZ_DATABASE = 8
OWN_DATABASE = 9  # only this folder's tests use it, so that it has no other test's heartbeats


@pytest.fixture(scope="session")
def own_redis_url(redis_url: str) -> str:
    """Return the URL of a redis database that only these tests use.

    Its redis has run for as long as a heartbeat lives: before, a missing one means no lost worker.
    """
    with SyncRedis.from_url(redis_url) as client:

        def is_old_enough() -> bool:
            about: Any = client.info("server")
            return about["uptime_in_seconds"] >= HEARTBEAT_TTL_S

        wait_until(is_old_enough, "heartbeats are trusted")
    return redis_url.removesuffix("/0") + f"/{OWN_DATABASE}"


@pytest.fixture
async def redis(own_redis_url: str) -> AsyncGenerator[Redis]:
    """Return a client of that database after emptying it."""
    async with Redis.from_url(own_redis_url, decode_responses=True) as client:
        await client.flushdb()
        await client.hset(SCHEDULE_KEY, SINCE_FIELD, "1")  # else hosts are given time to restore
        yield client


@pytest.fixture
def settings(settings_for: SettingsFor, livekit: LiveKit, own_redis_url: str) -> Settings:
    """Return the default settings with the test's servers and a public LiveKit URL."""
    return settings_for(
        livekit=livekit, redis_url=own_redis_url, livekit_public_url="wss://rooms.example"
    )


@pytest.fixture
async def service(settings: Settings, redis: Redis) -> AsyncGenerator[Service]:
    """Start the service's parts, without HTTP and without the poll."""
    async with open_service(settings, catalogue_of(settings)) as service:
        yield service


@pytest.fixture
def reconciler(service: Service) -> Reconciler:
    """Return the service's reconciler, for tests that apply its rule themselves."""
    return service.reconciler


@pytest.fixture
async def http(settings: Settings, redis: Redis) -> AsyncGenerator[httpx.AsyncClient]:
    """Return a client of the running app, which polls."""
    async with running(settings) as client:
        yield client


@pytest.fixture
def room() -> str:
    """Return the name of a room that no other test uses."""
    return f"room-{uuid4().hex}"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Return an empty file of API keys."""
    return Keys(tmp_path / "keys.toml")


@pytest.fixture
def keyed(settings: Settings, keys: Keys) -> Settings:
    """Return the settings of a service that asks for API keys."""
    return settings.model_copy(update={"auth_mode": ("api_keys",), "api_keys_file": keys.path})
