"""Holds: how many slots a caller or an address may reserve before a person joins."""

import asyncio

import pytest
from redis.asyncio import Redis

from protocol.config.settings import Settings
from tests.token_service.auth.callers import app
from tests.token_service.players import beat, opened
from token_service.auth.callers import ANYONE, Caller
from token_service.fleet.fleet import Fleet
from token_service.fleet.reader import FleetReader
from token_service.fleet.scheduler import may_hold
from token_service.rooms.store import SpecStore

FOUR = ["chef", "teacher", "astronaut", "assistant"]
UNNAMED = Caller(ANYONE.id, address="203.0.113.7", is_stranger=True)
NEIGHBOUR = Caller(ANYONE.id, address="198.51.100.7", is_stranger=True)
SHOP = Caller("key:shop", address="203.0.113.7")


@pytest.fixture
def open_settings(settings: Settings) -> Settings:
    """Return the settings of a service in `open` mode."""
    return settings.model_copy(update={"auth_mode": ("open",)})


async def fleet(redis: Redis) -> Fleet:
    """Return the fleet now."""
    return await FleetReader(redis).fleet()


def specs(redis: Redis) -> SpecStore:
    """Return a store of specs, which changes the schedule."""
    return SpecStore(redis, FleetReader(redis), 600)


async def grant(
    redis: Redis, caller: Caller, room: str, slots: int = 1, hold_s: float = 30.0
) -> bool:
    """Return whether a caller may reserve these slots, too."""
    return await specs(redis).schedule(lambda now: may_hold(now, caller, room, slots, hold_s))


async def test_one_address_does_not_hold_all_slots(open_settings: Settings, redis: Redis) -> None:
    """Sessions that one address opens and does not join reserve 12 of 64 slots, and no more."""
    await beat(redis, slots_total=64, slots_free=64)
    async with app(open_settings, "203.0.113.7") as mallory:
        for _ in range(8):
            await opened(mallory, personas=FOUR * 3)
    now = await fleet(redis)
    held = now.reserved()[now.workers[0].worker_id]
    async with app(open_settings, "198.51.100.7") as ann:
        answers = [await ann.post("/sessions", json={"personas": FOUR}) for _ in range(10)]

    assert held == 12
    assert {answer.status_code for answer in answers} == {201}


async def test_a_session_over_the_share_is_opened_without_a_reservation(
    open_settings: Settings, redis: Redis
) -> None:
    """A session over its address's share is opened without a reservation."""
    await beat(redis, slots_total=8, slots_free=8)
    async with app(open_settings) as http:
        first = await opened(http, personas=FOUR[:2])
        second = await opened(http, personas=FOUR[:2])
    schedule = (await fleet(redis)).schedule
    placed = {each["room"] for each in (first, second) if schedule.is_reserved(each["room"])}

    assert (first["state"], second["state"]) == ("open", "open")
    assert placed == {first["room"]}


async def test_each_address_has_its_own_share(redis: Redis) -> None:
    """Addresses without a name have a share of the slots each."""
    await beat(redis, slots_total=8, slots_free=8)
    given = [await grant(redis, who, who.address, 2) for who in (UNNAMED, NEIGHBOUR)]

    assert [*given, await grant(redis, UNNAMED, "more")] == [True, True, False]


async def test_a_named_caller_may_hold_half(redis: Redis) -> None:
    """A named caller may reserve half of the slots, whatever others at its address reserve."""
    await beat(redis, slots_total=8, slots_free=8)
    await grant(redis, UNNAMED, "another's", 2)
    given = [await grant(redis, SHOP, f"room {number}") for number in range(6)]

    assert given == [True] * 4 + [False] * 2


async def test_a_named_callers_only_session_may_be_any_size(redis: Redis) -> None:
    """A named caller's only session may reserve every slot, and an unnamed caller's may not."""
    await beat(redis, slots_total=4, slots_free=4)

    assert await grant(redis, SHOP, "a", 4) is True
    assert await grant(redis, UNNAMED, "b", 4) is False


async def test_this_machine_is_not_limited(redis: Redis) -> None:
    """In `loopback` mode the reservations of this machine are not limited."""
    await beat(redis, slots_total=4, slots_free=4)

    assert [await grant(redis, ANYONE, room, 4) for room in "abc"] == [True] * 3


@pytest.mark.parametrize(("caller", "again"), [(UNNAMED, False), (SHOP, True)])
async def test_an_unnamed_callers_hold_counts_when_it_is_over(
    redis: Redis, caller: Caller, again: bool
) -> None:
    """An unnamed caller's reservation counts after it ended, and a named caller's does not."""
    await beat(redis, slots_total=4, slots_free=4)
    await grant(redis, caller, "a", 2, hold_s=0.05)
    await asyncio.sleep(0.1)

    assert await grant(redis, caller, "b", 2, hold_s=0.05) is again


async def test_a_hosted_room_is_no_hold(redis: Redis) -> None:
    """A room that has its host is no longer counted as a reservation."""
    await beat(redis, slots_total=8, slots_free=8)
    await grant(redis, UNNAMED, "a", 2)
    await specs(redis).schedule(lambda now: now.schedule.settle("a", 1))

    assert await grant(redis, UNNAMED, "b", 2) is True


async def test_many_at_once_hold_no_more_than_the_share(redis: Redis) -> None:
    """Requests at the same moment reserve no more than their address's share."""
    await beat(redis, slots_total=16, slots_free=16)
    given = await asyncio.gather(*(grant(redis, UNNAMED, f"room {each}") for each in range(20)))

    assert given.count(True) == 4


async def test_changing_personas_lengthens_no_hold(open_settings: Settings, redis: Redis) -> None:
    """Adding a persona to a session reserves a slot and does not lengthen the reservation."""
    await beat(redis, slots_total=16, slots_free=16)
    async with app(open_settings) as http:
        said = await opened(http, personas=["chef"])
        before = (await fleet(redis)).reservation(said["room"])
        path = f"/sessions/{said['id']}/personas"
        assert (await http.post(path, json={"personas": ["teacher"]})).status_code == 201
        after = (await fleet(redis)).reservation(said["room"])

    assert before is not None and after is not None
    assert (before.until_s, before.slots, after.slots) == (after.until_s, 1, 2)
