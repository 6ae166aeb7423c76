"""Redis or LiveKit away: 503 with the reason, never a traceback; all is well when it is back."""

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
    """An outage as a client sees it."""
    body = answer.json()
    return answer.status_code, body["error"], body["detail"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/token"), ("GET", "/voices")])
async def test_without_redis_the_answer_is_503(
    settings_for: SettingsFor, livekit: servers.LiveKit, method: str, path: str
) -> None:
    """What needs redis says that redis is away, and when to come again."""
    away = f"redis://127.0.0.1:{servers.free_port()}/0"
    async with running(settings_for(livekit=livekit, redis_url=away)) as http:
        answer = await http.request(method, path)

    assert said(answer) == (503, "redis_away", "Redis does not answer.")
    assert answer.headers["retry-after"] == "2"


async def test_without_livekit_no_token_is_minted(
    settings_for: SettingsFor, own_redis_url: str, redis: Redis
) -> None:
    """A token for a server that is away helps nobody: 503."""
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
    """One that takes the question and never answers keeps nobody waiting, and stops no poll.

    The limit that livekit-api 1.2.1 is given has no effect with aiohttp 3.11: all hung for ever.
    """
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


async def test_a_key_that_livekit_refuses_is_said(
    settings_for: SettingsFor, livekit: servers.LiveKit, own_redis_url: str, redis: Redis
) -> None:
    """A wrong key or secret is the operator's error and is named, without its value."""
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
    """Redis may come later and go in between: the service needs no restart."""
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
    """LiveKit comes after the promise was made: the poll has waited and serves the room."""
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

                async def has_dispatch() -> bool:
                    return bool(await dispatched(livekit, room))

                await eventually(has_dispatch, "the poll led to a dispatch")
