"""Room specs of unnamed callers in redis: their lifetime and size, and a full redis."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from harness import servers
from protocol.config.settings import Settings
from protocol.room_spec import spec_key
from tests.token_service.auth.callers import Keys, app, refused
from tests.token_service.players import beat, joined, opened
from token_service.auth.rate_limit import WRITTEN
from token_service.refusals import redis_trouble
from token_service.rooms.issued_tokens import TOKENS_KEY

PROMPT = "\N{PILE OF POO}" * 1000  # four bytes each
LARGEST = [{"name": "ada", "label": "Ada", "prompt": PROMPT}] * 14


def asking(personas: list[Any], **fields: Any) -> dict[str, Any]:
    """Return the body of a token request for these personas."""
    agent = {"agent_name": "moshi", "metadata": json.dumps({"personas": personas})}
    return {"room_config": {"agents": [agent]}} | fields


@pytest.fixture
def open_settings(settings: Settings) -> Settings:
    """Return the settings of a service in `open` mode."""
    return settings.model_copy(update={"auth_mode": ("open",)})


async def bytes_kept(redis: Redis) -> int:
    """Return how many bytes the room specs in redis have."""
    keys = [key async for key in redis.scan_iter(match=spec_key("*"))]
    return sum([await redis.strlen(key) for key in keys])


async def test_one_address_cannot_fill_redis(open_settings: Settings, redis: Redis) -> None:
    """One address writes specs up to a limit of bytes and gets 429, and another is let in."""
    await beat(redis, slots_total=64, slots_free=64)
    async with app(open_settings, "203.0.113.7") as mallory:
        answers = [await mallory.post("/token", json=asking(LARGEST)) for _ in range(80)]
    kept = await bytes_kept(redis)
    async with app(open_settings, "198.51.100.7") as ann:
        other = await ann.post("/token", json=asking(LARGEST))

    assert {refused(each) for each in answers if each.status_code != 201} == {
        (429, "too_many_requests")
    }
    assert "Shorten the personas' prompts" in answers[-1].json()["detail"]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert 0.8 * WRITTEN.amount < kept <= WRITTEN.amount
    assert other.status_code == 201


async def test_a_session_does_not_grow_past_the_limit(
    open_settings: Settings, redis: Redis
) -> None:
    """Personas that are added to sessions count against an address's limit of bytes, too."""
    await beat(redis, slots_total=64, slots_free=64)
    many = open_settings.model_copy(update={"rate_per_caller": "10000/minute"})
    codes: list[int] = []
    async with app(many) as http:
        while len(codes) < 100 and 429 not in codes:
            said = await opened(http, personas=["chef"])
            path = f"/sessions/{said['id']}/personas"
            answer = await http.post(path, json={"personas": LARGEST[1:]})
            codes.append(answer.status_code)
    kept = await bytes_kept(redis)

    assert (codes[0], codes[-1]) == (201, 429)
    assert kept <= WRITTEN.amount


async def test_an_unused_room_is_kept_as_long_as_its_token(
    open_settings: Settings, redis: Redis, room: str
) -> None:
    """The spec and token record of a room without people live as long as the token."""
    await beat(redis)
    async with app(open_settings) as http:
        await http.post("/token", json={"room_name": room})
        session = await opened(http)
    keys = [spec_key(room), spec_key(session["room"]), TOKENS_KEY.format(room=room)]
    lives = [await redis.ttl(key) for key in keys]

    assert all(600 <= life <= 660 for life in lives), lives


async def test_a_named_callers_session_is_kept_longer(
    keyed: Settings, keys: Keys, redis: Redis
) -> None:
    """The spec of a named caller's session lives for PROMISE_TTL_S."""
    await beat(redis)
    async with app(keyed) as http:
        answer = await http.post("/sessions", headers=keys.add("shop"))

    assert 3590 < await redis.ttl(spec_key(answer.json()["room"])) <= 3600


async def test_the_token_of_a_person_who_joined_is_kept_longer(
    open_settings: Settings, redis: Redis, livekit: servers.LiveKit, room: str
) -> None:
    """The record of a token lives for 24 hours once its person is in the room."""
    await beat(redis)
    async with app(open_settings) as http:
        token = (await http.post("/token", json={"room_name": room})).json()["participant_token"]
        service = http._transport.app.state.service  # type: ignore[attr-defined]
        async with joined(livekit, token):
            await service.reconciler.sweep()

            assert await redis.ttl(TOKENS_KEY.format(room=room)) > 86_000


@pytest.fixture
async def small_redis(tmp_path: Path) -> AsyncGenerator[Redis]:
    """Start a redis of the test's own, whose memory can be made small."""
    with servers.start_redis(tmp_path) as url:
        async with Redis.from_url(url, decode_responses=True) as client:
            yield client


def url_of(redis: Redis) -> str:
    """Return the URL of a redis."""
    return f"redis://127.0.0.1:{redis.connection_pool.connection_kwargs['port']}/0"


@pytest.mark.parametrize("share", [0.95, 2.0], ids=["nearly full", "over full"])
async def test_a_full_redis_is_refused_as_full(
    open_settings: Settings, small_redis: Redis, share: float
) -> None:
    """A redis near its limit, or over it, is answered with 503 and `redis_full`."""
    await beat(small_redis, slots_free=6)
    told = open_settings.model_copy(update={"redis_url": url_of(small_redis)})
    async with app(told) as http:
        assert (await http.post("/token")).status_code == 201
        memory: Any = await small_redis.info("memory")
        await small_redis.config_set("maxmemory", int(memory["used_memory"] / share))
        http._transport.app.state.service.space._checked_s = 0.0  # type: ignore[attr-defined]
        answer = await http.post("/token")
        ready = (await http.get("/ready")).json()

    assert refused(answer) == (503, "redis_full")
    assert int(answer.headers["Retry-After"]) > 0
    assert (ready["ready"], ready["code"]) == (False, "redis_full")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "redis_full"),
        (ResponseError("Error running script: -OOM command not allowed"), "redis_full"),
        (ResponseError("MISCONF Redis is configured to save RDB snapshots"), "redis_refuses"),
        (RedisGone("refused"), "redis_away"),
    ],
)
def test_trouble_with_redis_is_told_by_its_kind(error: RedisError, code: str) -> None:
    """A redis that is full, refuses or is away has a code each."""
    assert redis_trouble(error).code == code
