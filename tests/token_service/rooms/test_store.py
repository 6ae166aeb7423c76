"""Promises in redis: how long they live, generations, locks, and dispatches that are awaited."""

import asyncio

import pytest
from redis.asyncio import Redis

from protocol.personas import Persona
from protocol.room_spec import RoomSpec, spec_key
from token_service.rooms.store import LockLost, SpecStore, grace_s

TTL_S = 600
CHEF = Persona(name="chef", label="Chef")


@pytest.fixture
def specs(redis: Redis) -> SpecStore:
    """Promises that live for ten minutes."""
    return SpecStore(redis, TTL_S)


def spec(room: str = "r", generation: int = 0) -> RoomSpec:
    """A promise of one persona."""
    return RoomSpec(room=room, generation=generation, personas=(CHEF,))


async def test_what_is_written_is_read(specs: SpecStore) -> None:
    """A promise comes back as it was."""
    await specs.write(spec("r", 3))

    assert await specs.read("r") == spec("r", 3)


async def test_a_room_without_promise_has_none(specs: SpecStore) -> None:
    """Nothing was promised to a room nobody asked for."""
    assert await specs.read("r") is None


async def test_a_promise_lives_for_its_time(specs: SpecStore, redis: Redis) -> None:
    """A promise expires by itself after PROMISE_TTL_S."""
    await specs.write(spec())

    assert TTL_S - 5 < await redis.ttl(spec_key("r")) <= TTL_S


async def test_a_touched_promise_lives_on(specs: SpecStore, redis: Redis) -> None:
    """Use of the room starts the promise's time anew."""
    await specs.write(spec())
    await redis.expire(spec_key("r"), 10)
    await specs.touch([spec()])

    assert TTL_S - 5 < await redis.ttl(spec_key("r")) <= TTL_S


async def test_touching_brings_no_promise_back(specs: SpecStore, redis: Redis) -> None:
    """A promise that is gone stays gone."""
    await specs.touch([spec()])

    assert await redis.keys("moshi:promise:*") == []


async def test_rooms_without_promise_are_passed_over(specs: SpecStore) -> None:
    """Of many rooms only those that were promised something count."""
    await specs.write(spec("ours"))

    assert await specs.of(["theirs", "ours"]) == [spec("ours")]
    assert await specs.of([]) == []


async def test_a_promise_that_cannot_be_read_is_none(specs: SpecStore, redis: Redis) -> None:
    """What another version wrote is as good as nothing, not an error."""
    await redis.set(spec_key("r"), "{}")

    assert await specs.read("r") is None


async def test_the_next_generation_is_one_more_and_awaited(specs: SpecStore) -> None:
    """A dispatch writes generation n + 1, and its host is awaited; that of n is not."""
    await specs.write(spec("r", 3))
    upcoming = await specs.next_generation(spec("r", 3), "w")

    assert (upcoming.generation, upcoming.worker) == (4, "w")
    assert await specs.read("r") == upcoming
    assert await specs.awaited(spec("r", 4)) is True
    assert await specs.awaited(spec("r", 3)) is False


@pytest.mark.parametrize(("dispatches", "seconds"), [(1, 10), (2, 20), (3, 30), (4, 30), (99, 30)])
def test_each_dispatch_in_a_row_is_awaited_longer(dispatches: int, seconds: float) -> None:
    """The wait for a host doubles from 10 s up to 30 s."""
    assert grace_s(dispatches) == seconds


async def test_dispatches_in_a_row_back_off(specs: SpecStore, redis: Redis) -> None:
    """The third dispatch within two minutes is awaited for 30 s."""
    upcoming = spec()
    for _ in range(3):
        upcoming = await specs.next_generation(upcoming, "w")

    assert 25_000 < await redis.pttl("moshi:awaited:r:3") <= 30_000


async def test_a_dispatch_that_failed_is_not_awaited(specs: SpecStore) -> None:
    """LiveKit refused it: nobody waits for its host."""
    upcoming = await specs.next_generation(spec(), "w")
    await specs.await_no_more(upcoming)

    assert await specs.awaited(upcoming) is False


async def test_a_host_that_came_is_not_awaited_any_more(specs: SpecStore) -> None:
    """Once the host is there, its loss is healed at once."""
    upcoming = await specs.next_generation(spec(), "w")
    await specs.arrived([upcoming])

    assert await specs.awaited(upcoming) is False


async def test_hosts_that_come_and_go_are_awaited_all_the_same(specs: SpecStore) -> None:
    """From the third dispatch in a row on, the wait stays: a host that fails at once is no loop."""
    upcoming = spec()
    for _ in range(3):
        upcoming = await specs.next_generation(upcoming, "w")
        await specs.arrived([upcoming])

    assert await specs.awaited(upcoming) is True


async def test_a_room_is_locked_for_one(specs: SpecStore) -> None:
    """Who does not wait for a held lock is told that it does not hold it."""
    async with specs.alone("r", 0) as first, specs.alone("r", 0) as second:
        held = (first is not None, second is not None)

    assert held == (True, False)


async def test_locks_are_taken_in_turn(specs: SpecStore) -> None:
    """Who waits gets the lock when it is free; nobody is inside with another."""
    inside = 0
    most = 0

    async def enter() -> bool:
        nonlocal inside, most
        async with specs.alone("r", 10) as held:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1
            return held is not None

    assert await asyncio.gather(*(enter() for _ in range(5))) == [True] * 5
    assert most == 1


async def test_rooms_do_not_wait_for_each_other(specs: SpecStore) -> None:
    """Each room has its own lock."""
    async with specs.alone("r", 0) as first, specs.alone("s", 0) as second:
        held = (first is not None, second is not None)

    assert held == (True, True)


async def test_a_lock_that_expired_inside_is_no_error(specs: SpecStore, redis: Redis) -> None:
    """Who took longer than the lock lives leaves quietly and takes nobody else's lock away."""
    async with specs.alone("r", 0):
        await redis.set("moshi:lock:r", "somebody else")

    assert await redis.get("moshi:lock:r") == "somebody else"


async def test_who_lost_the_lock_writes_nothing(specs: SpecStore, redis: Redis) -> None:
    """A replica that froze under the lock does not write over what another promised since."""
    await specs.write(spec("r", 1))
    async with specs.alone("r", 0) as lock:
        await redis.set("moshi:lock:r", "somebody else")
        await specs.write(spec("r", 2))
        with pytest.raises(LockLost):
            await specs.next_generation(spec("r", 1), "worker", lock)

    assert await specs.read("r") == spec("r", 2)


async def test_who_holds_the_lock_writes(specs: SpecStore) -> None:
    """The lock's owner writes as anybody does without one."""
    async with specs.alone("r", 0) as lock:
        await specs.write(spec("r", 1), lock)

    assert await specs.read("r") == spec("r", 1)


async def test_a_lock_outlives_its_owner_by_seconds(specs: SpecStore, redis: Redis) -> None:
    """A replica that died with a room's lock keeps the room waiting for 5 s at most."""
    async with specs.alone("r", 0):
        left_ms = await redis.pttl("moshi:lock:r")

    assert 4000 < left_ms <= 5000
