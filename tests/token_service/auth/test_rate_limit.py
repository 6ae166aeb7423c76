"""Strangers stay out: nobody calls too often."""

import pytest
from redis.asyncio import Redis

from protocol.config.settings import Settings
from tests.token_service.auth.strangers import Keys, app, bearer
from tests.token_service.players import beat


async def test_a_caller_is_slowed_down(keyed: Settings, keys: Keys, redis: Redis) -> None:
    """After so many tokens in a minute: 429 with a time to come back; others are not concerned."""
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
    """An open service has strangers, who are told apart by their addresses."""
    await beat(redis)
    slow = settings.model_copy(update={"auth_mode": ("open",), "rate_per_address": "2/minute"})
    async with app(slow) as http:
        answers = [await http.get("/status") for _ in range(3)]
    async with app(slow, "203.0.113.8") as http:
        other = await http.get("/status")

    assert [answer.status_code for answer in (*answers, other)] == [200, 200, 429, 200]


async def test_a_household_of_addresses_is_one(settings: Settings, redis: Redis) -> None:
    """Who has an IPv6 network, which has more addresses than there are stars, counts as one."""
    await beat(redis)
    slow = settings.model_copy(update={"auth_mode": ("open",), "rate_per_address": "1/minute"})
    answers: list[int] = []
    for address in ("2001:db8:0:1::a", "2001:db8:0:1:ffff::b", "2001:db8:0:2::a"):
        async with app(slow, address) as http:
            answers.append((await http.get("/status")).status_code)

    assert answers == [200, 429, 200]


@pytest.mark.parametrize("path", ["/ready", "/personas", "/voices", "/api/config"])
async def test_who_only_looks_is_slowed_down(keyed: Settings, redis: Redis, path: str) -> None:
    """What everybody may see costs questions to redis and LiveKit, so it is counted, too."""
    await beat(redis)
    slow = keyed.model_copy(update={"rate_per_address": "2/minute"})
    async with app(slow) as http:
        answers = [await http.get(path) for _ in range(3)]
        alive = await http.get("/health")

    assert [answer.status_code for answer in (*answers, alive)] == [200, 200, 429, 200]


async def test_keys_are_not_guessed(keyed: Settings, keys: Keys, redis: Redis) -> None:
    """After twenty bad keys in a minute bad ones are 429; a good one of the address is let in."""
    shop = keys.add("shop")
    async with app(keyed) as http:
        answers = [await http.get("/status", headers=bearer("mrk_a_b")) for _ in range(21)]
        good = await http.get("/status", headers=shop)

    assert [answer.status_code for answer in answers] == [401] * 20 + [429]
    assert good.status_code == 200


@pytest.mark.parametrize("bad", ["mrk_a_b", "mrg_a.b.c", "a.b.c", ""])
async def test_bad_callers_do_not_use_up_good_ones_share(
    keyed: Settings, keys: Keys, redis: Redis, bad: str
) -> None:
    """Whatever is sent from an address, with a bad bearer or none: who has a key is not counted
    with it, nor is who only looks."""
    slow = keyed.model_copy(update={"rate_per_address": "30/minute"})
    shop = keys.add("shop")
    headers = bearer(bad) if bad else {}
    async with app(slow) as http:
        answers = [await http.get("/status", headers=headers) for _ in range(40)]
        good = await http.get("/status", headers=shop)
        looking = await http.get("/personas")

    assert {answer.status_code for answer in answers} == {401, 429}
    assert (good.status_code, looking.status_code) == (200, 200)


async def test_callers_of_one_address_have_a_share_each(
    keyed: Settings, keys: Keys, redis: Redis
) -> None:
    """An office has one address and several applications."""
    slow = keyed.model_copy(update={"rate_per_address": "2/minute"})
    shop, bank = keys.add("shop"), keys.add("bank")
    async with app(slow) as http:
        answers = [await http.get("/sessions", headers=shop) for _ in range(3)]
        other = await http.get("/sessions", headers=bank)

    assert [answer.status_code for answer in (*answers, other)] == [200, 200, 429, 200]


async def test_limits_hold_for_all_replicas(keyed: Settings, keys: Keys, redis: Redis) -> None:
    """They are counted in redis."""
    slow = keyed.model_copy(update={"rate_per_address": "1/minute"})
    shop = keys.add("shop")
    async with app(slow) as one, app(slow) as two:
        answers = [await each.get("/sessions", headers=shop) for each in (one, two)]

    assert [answer.status_code for answer in answers] == [200, 429]


async def test_development_is_not_slowed_down(settings: Settings, redis: Redis) -> None:
    """This machine's own requests are not counted."""
    slow = settings.model_copy(update={"rate_per_address": "1/minute"})
    async with app(slow, "127.0.0.1", "http://localhost") as http:
        answers = [await http.get("/sessions") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
