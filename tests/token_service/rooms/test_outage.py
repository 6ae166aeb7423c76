"""Redis or LiveKit away: 503 with the reason, and service again when it is back."""

import asyncio
import socket
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from harness import servers
from tests.conftest import SettingsFor, StartLiveKit
from tests.token_service.players import (
    beat,
    dispatched,
    eventually,
    joined,
    person_token,
    running,
)
from token_service.rooms import livekit


def said(answer: httpx.Response) -> tuple[int, str, str]:
    """Return the status, code and detail of a refusal."""
    body = answer.json()
    return answer.status_code, body["error"], body["detail"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/token"), ("GET", "/voices")])
async def test_without_redis_the_answer_is_503(
    settings_for: SettingsFor, livekit: servers.LiveKit, method: str, path: str
) -> None:
    """Without redis a request that needs it is answered with 503 and `Retry-After`."""
    away = f"redis://127.0.0.1:{servers.free_port()}/0"
    async with running(settings_for(livekit=livekit, redis_url=away)) as http:
        answer = await http.request(method, path)

    assert said(answer) == (503, "redis_away", "Redis does not answer.")
    assert answer.headers["retry-after"] == "2"


async def test_without_livekit_no_token_is_minted(
    settings_for: SettingsFor, own_redis_url: str, redis: Redis
) -> None:
    """Without LiveKit a token request is answered with 503."""
    away = f"ws://127.0.0.1:{servers.free_port()}"
    await beat(redis)
    async with running(settings_for(livekit_url=away, redis_url=own_redis_url)) as http:
        answer = await http.post("/token")

    assert said(answer) == (503, "livekit_away", "LiveKit does not answer.")


async def test_a_livekit_that_hangs_is_away(
    settings_for: SettingsFor,
    own_redis_url: str,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A LiveKit that never answers counts as away."""
    # livekit-api's own limit has no effect with aiohttp 3.11
    monkeypatch.setattr(livekit, "ANSWER_S", 0.2)
    await beat(redis)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        async with (
            running(settings_for(livekit_url=url, redis_url=own_redis_url)) as http,
            asyncio.timeout(10),
        ):
            answer = await http.post("/token")

    assert said(answer) == (503, "livekit_away", "LiveKit does not answer.")


async def test_a_wrong_secret_of_livekit_is_named(
    settings_for: SettingsFor, livekit: servers.LiveKit, own_redis_url: str, redis: Redis
) -> None:
    """`/ready` says which key's secret is wrong, without the secret."""
    await beat(redis)
    wrong = settings_for(livekit=livekit, redis_url=own_redis_url, livekit_api_secret="x" * 32)
    async with running(wrong) as http:
        answer = (await http.get("/ready")).json()

    assert answer == {
        "ready": False,
        "code": "livekit_away",
        "reason": f"LiveKit at {livekit.url} has another secret for the key 'devkey'.",
    }


async def test_the_service_starts_before_redis_does(
    settings_for: SettingsFor, livekit: servers.LiveKit, tmp_path: Path
) -> None:
    """The service starts without redis and serves whenever redis is there."""
    port = servers.free_port()
    settings = settings_for(livekit=livekit, redis_url=f"redis://127.0.0.1:{port}/0")
    async with running(settings) as http:
        statuses = [(await http.post("/token")).status_code]
        for _ in range(2):
            with servers.start_redis(tmp_path, port) as url:
                async with Redis.from_url(url) as redis:
                    await beat(redis)
                statuses.append((await http.post("/token")).status_code)
            statuses.append((await http.post("/token")).status_code)

    assert statuses == [503, 201, 503, 201, 503]


async def test_the_poll_survives_livekits_absence(
    settings_for: SettingsFor,
    start_livekit: StartLiveKit,
    own_redis_url: str,
    redis: Redis,
    room: str,
) -> None:
    """The poll goes on while LiveKit is away, and serves the room when LiveKit is back."""
    port = servers.free_port()
    await beat(redis)
    with start_livekit(port=port) as livekit:
        settings = settings_for(livekit=livekit, redis_url=own_redis_url)
        async with running(settings) as http:
            assert (await http.post("/token", json={"room_name": room})).status_code == 201
    async with running(settings) as http:
        assert (await http.get("/ready")).status_code == 503
        with start_livekit(port=port) as livekit:
            async with joined(livekit, person_token(livekit, room)):
                await eventually(lambda: dispatched(livekit, room), "the poll led to a dispatch")
