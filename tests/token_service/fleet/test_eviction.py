"""A redis that evicts keys when it is full: the log and `/status` say so; a real redis."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from redis.asyncio import Redis

from deploy import installers
from harness.servers import free_port, redis_answers, running, start_redis
from protocol.config.settings import Settings
from protocol.redis.memory import forgetting
from tests.token_service.players import eventually
from token_service.app import create_app
from token_service.fleet.space import Space

LIMIT = {"maxmemory": 64 << 20}


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "volatile-ttl"])
async def test_an_evicting_redis_is_told(settings: Settings, tmp_path: Path, policy: str) -> None:
    """Each evicting policy is an error in the log once and in `/status`, and the service serves."""
    with start_redis(tmp_path) as url:
        async with Redis.from_url(url) as redis:
            await redis.config_set("maxmemory", "64mb")
            await redis.config_set("maxmemory-policy", policy)
        app = create_app(settings.model_copy(update={"redis_url": url}))
        with structlog.testing.capture_logs() as logs:
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app), base_url="http://localhost"
                ) as http,
            ):

                async def said() -> bool:
                    return any(each["event"] == "redis_forgets" for each in logs)

                await eventually(said, "the log has the error")
                status = (await http.get("/status")).json()

    [line] = [each for each in logs if each["event"] == "redis_forgets"]
    sentence = (
        f"redis forgets keys once it holds 64 MiB (maxmemory-policy {policy}): "
        "revoked tokens would be good again"
    )
    assert (line["log_level"], line["reason"], status["redis"]) == ("error", sentence, sentence)
    assert "noeviction" in line["advice"]


async def test_the_check_waits_for_redis(tmp_path: Path) -> None:
    """The check of redis's policy waits until redis is there, or until the service stops."""
    port, stopping = free_port(), asyncio.Event()
    url = f"redis://127.0.0.1:{port}/0"
    command = [str(installers.redis_server()), "--port", str(port), "--save", ""]
    command += ["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]
    async with Redis.from_url(url) as redis:
        with structlog.testing.capture_logs() as logs:
            checking = asyncio.create_task(Space(redis).log_eviction(stopping))
            await asyncio.sleep(0.1)
            assert not checking.done()
            with running(command, lambda: redis_answers(url), tmp_path / "redis.log", cwd=tmp_path):
                await checking
            assert [each["event"] for each in logs] == ["redis_forgets"]
            checking = asyncio.create_task(Space(redis).log_eviction(stopping))
            stopping.set()
            await checking


@pytest.mark.parametrize(
    "memory",
    [
        {},
        LIMIT | {"maxmemory_policy": "noeviction"},
        {"maxmemory": 0, "maxmemory_policy": "allkeys-lru"},
    ],
)
def test_a_redis_that_evicts_nothing_is_fine(memory: dict[str, Any]) -> None:
    """A redis that has no limit, or evicts nothing, is no reason for an error."""
    assert forgetting(memory) is None
