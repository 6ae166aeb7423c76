"""Rate limits by caller and by address."""

import pytest
from redis.asyncio import Redis

from protocol.config.settings import Settings
from tests.token_service.auth.callers import Keys, app, bearer
from tests.token_service.players import beat


async def test_a_caller_is_slowed_down(keyed: Settings, keys: Keys, redis: Redis) -> None:
    """A caller over its limit gets 429 with `Retry-After`; reads and others do not."""
    await beat(redis, slots_free=64)
    slow = keyed.model_copy(update={"rate_per_caller": "3/minute"})
    shop, bank = keys.add("shop"), keys.add("bank")
    async with app(slow) as http:
        answers = [await http.post("/token", headers=shop) for _ in range(4)]
        look = await http.get("/sessions", headers=shop)
        other = await http.post("/token", headers=bank)

    assert [answer.status_code for answer in answers] == [201, 201, 201, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 61
    assert answers[-1].json()["error"] == "too_many_requests"
    assert (look.status_code, other.status_code) == (200, 201)


async def test_an_address_is_slowed_down(settings: Settings, redis: Redis) -> None:
    """In `open` mode each address has a limit of its own."""
    await beat(redis)
    slow = settings.model_copy(update={"auth_mode": ("open",), "rate_per_address": "2/minute"})
    async with app(slow) as http:
        answers = [await http.get("/status") for _ in range(3)]
    async with app(slow, "203.0.113.8") as http:
        other = await http.get("/status")

    assert [answer.status_code for answer in (*answers, other)] == [200, 200, 429, 200]


async def test_an_ipv6_network_shares_one_limit(settings: Settings, redis: Redis) -> None:
    """All addresses of one IPv6 /64 network share one limit."""
    await beat(redis)
    slow = settings.model_copy(update={"auth_mode": ("open",), "rate_per_address": "1/minute"})
    answers: list[int] = []
    for address in ("2001:db8:0:1::a", "2001:db8:0:1:ffff::b", "2001:db8:0:2::a"):
        async with app(slow, address) as http:
            answers.append((await http.get("/status")).status_code)

    assert answers == [200, 429, 200]


@pytest.mark.parametrize("path", ["/ready", "/personas", "/voices", "/api/config"])
async def test_public_paths_are_limited(keyed: Settings, redis: Redis, path: str) -> None:
    """Public paths count against an address's limit; `/health` does not."""
    await beat(redis)
    slow = keyed.model_copy(update={"rate_per_address": "2/minute"})
    async with app(slow) as http:
        answers = [await http.get(path) for _ in range(3)]
        alive = await http.get("/health")

    assert [answer.status_code for answer in (*answers, alive)] == [200, 200, 429, 200]


async def test_wrong_keys_are_limited(keyed: Settings, keys: Keys, redis: Redis) -> None:
    """After twenty wrong keys in a minute an address gets 429 for them, not for valid ones."""
    shop = keys.add("shop")
    async with app(keyed) as http:
        answers = [await http.get("/status", headers=bearer("mrk_a_b")) for _ in range(21)]
        good = await http.get("/status", headers=shop)

    assert [answer.status_code for answer in answers] == [401] * 20 + [429]
    assert good.status_code == 200


@pytest.mark.parametrize("bad", ["mrk_a_b", "mrg_a.b.c", "a.b.c", ""])
async def test_refused_requests_do_not_use_up_a_valid_keys_limit(
    keyed: Settings, keys: Keys, redis: Redis, bad: str
) -> None:
    """An address's refused requests do not use up the limit of a valid key or public path."""
    slow = keyed.model_copy(update={"rate_per_address": "30/minute"})
    shop = keys.add("shop")
    headers = bearer(bad) if bad else {}
    async with app(slow) as http:
        answers = [await http.get("/status", headers=headers) for _ in range(40)]
        good = await http.get("/status", headers=shop)
        looking = await http.get("/personas")

    assert {answer.status_code for answer in answers} == {401, 429}
    assert (good.status_code, looking.status_code) == (200, 200)


async def test_callers_of_one_address_have_a_limit_each(
    keyed: Settings, keys: Keys, redis: Redis
) -> None:
    """Callers that share an address have a limit each."""
    slow = keyed.model_copy(update={"rate_per_address": "2/minute"})
    shop, bank = keys.add("shop"), keys.add("bank")
    async with app(slow) as http:
        answers = [await http.get("/sessions", headers=shop) for _ in range(3)]
        other = await http.get("/sessions", headers=bank)

    assert [answer.status_code for answer in (*answers, other)] == [200, 200, 429, 200]


async def test_limits_hold_for_all_replicas(keyed: Settings, keys: Keys, redis: Redis) -> None:
    """A limit holds for all replicas of the service together."""
    slow = keyed.model_copy(update={"rate_per_address": "1/minute"})
    shop = keys.add("shop")
    async with app(slow) as one, app(slow) as two:
        answers = [await each.get("/sessions", headers=shop) for each in (one, two)]

    assert [answer.status_code for answer in answers] == [200, 429]


async def test_development_is_not_slowed_down(settings: Settings, redis: Redis) -> None:
    """In `loopback` mode this machine's requests are not limited."""
    slow = settings.model_copy(update={"rate_per_address": "1/minute"})
    async with app(slow, "127.0.0.1", "http://localhost") as http:
        answers = [await http.get("/sessions") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
