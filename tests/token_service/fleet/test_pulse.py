"""The pulse of redis: when a missing heartbeat says that its worker is lost."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from harness.servers import start_redis
from protocol.heartbeat import HEARTBEAT_TTL_S
from tests.token_service.players import eventually
from token_service.fleet.pulse import LATE_S, Pulse


async def test_a_redis_that_stood_still_is_steady_after_a_heartbeats_life(redis: Redis) -> None:
    """While redis stands still, and for a heartbeat's life after it, it is not steady."""
    now_s = 100.0
    pulse = Pulse(redis, lambda: now_s)
    await eventually(pulse.is_steady, "redis is no new one")
    pulse.answered()
    steady: list[bool] = []
    for wait_s in (LATE_S - 0.1, 0.2):
        now_s += wait_s
        steady.append(await pulse.is_steady())
    pulse.answered()
    for _ in range(3):
        now_s += HEARTBEAT_TTL_S / 2
        steady.append(await pulse.is_steady())
        pulse.answered()

    assert steady == [True, False, False, True, True]


async def test_a_redis_that_does_not_answer_at_first_is_not_steady_afterwards(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redis that stands still while the service starts has lost heartbeats as well."""
    now_s, stopping = 100.0, asyncio.Event()
    pulse = Pulse(redis, lambda: now_s)
    await eventually(pulse.is_steady, "redis is no new one")

    async def late() -> None:
        nonlocal now_s
        now_s += 2 * LATE_S
        stopping.set()

    monkeypatch.setattr(redis, "ping", late)
    await pulse.run(stopping)

    assert not await pulse.is_steady()


async def test_a_young_redis_is_not_steady(tmp_path: Path) -> None:
    """For the life of a heartbeat after redis began, one that is missing means no lost worker."""
    with start_redis(tmp_path) as url:
        async with Redis.from_url(url, decode_responses=True) as young:
            pulse = Pulse(young)
            at_first = await pulse.is_steady()
            await eventually(pulse.is_steady, "it has run for a heartbeat's life")

    assert not at_first


async def test_a_redis_that_does_not_tell_its_age_is_steady(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a redis has no INFO, its answers alone count."""

    async def refused(*_: object) -> None:
        raise ResponseError("unknown command 'INFO'")

    monkeypatch.setattr(redis, "info", refused)

    assert await Pulse(redis).is_steady()
