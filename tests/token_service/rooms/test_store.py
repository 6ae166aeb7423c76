"""Promises in redis: how long they live, generations, locks, and dispatches that are awaited."""

import asyncio

import pytest
from redis.asyncio import Redis

from protocol.personas import Persona
from protocol.room_spec import Promise, promise_key
from token_service.rooms.store import LockLost, Promises, grace_s

TTL_S = 600
CHEF = Persona(name="chef", label="Chef")


@pytest.fixture
def promises(redis: Redis) -> Promises:
    """Promises that live for ten minutes."""
    return Promises(redis, TTL_S)


def promise(room: str = "r", generation: int = 0) -> Promise:
    """A promise of one persona."""
    return Promise(room=room, generation=generation, personas=(CHEF,))


async def test_what_is_written_is_read(promises: Promises) -> None:
    """A promise comes back as it was."""
    await promises.write(promise("r", 3))

    assert await promises.read("r") == promise("r", 3)


async def test_a_room_without_promise_has_none(promises: Promises) -> None:
    """Nothing was promised to a room nobody asked for."""
    assert await promises.read("r") is None


async def test_a_promise_lives_for_its_time(promises: Promises, redis: Redis) -> None:
    """A promise expires by itself after PROMISE_TTL_S."""
    await promises.write(promise())

    assert TTL_S - 5 < await redis.ttl(promise_key("r")) <= TTL_S


async def test_a_touched_promise_lives_on(promises: Promises, redis: Redis) -> None:
    """Use of the room starts the promise's time anew."""
    await promises.write(promise())
    await redis.expire(promise_key("r"), 10)
    await promises.touch([promise()])

    assert TTL_S - 5 < await redis.ttl(promise_key("r")) <= TTL_S


async def test_touching_brings_no_promise_back(promises: Promises, redis: Redis) -> None:
    """A promise that is gone stays gone."""
    await promises.touch([promise()])

    assert await redis.keys("moshi:promise:*") == []


async def test_rooms_without_promise_are_passed_over(promises: Promises) -> None:
    """Of many rooms only those that were promised something count."""
    await promises.write(promise("ours"))

    assert await promises.of(["theirs", "ours"]) == [promise("ours")]
    assert await promises.of([]) == []


async def test_a_promise_that_cannot_be_read_is_none(promises: Promises, redis: Redis) -> None:
    """What another version wrote is as good as nothing, not an error."""
    await redis.set(promise_key("r"), "{}")

    assert await promises.read("r") is None


async def test_the_next_generation_is_one_more_and_awaited(promises: Promises) -> None:
    """A dispatch writes generation n + 1, and its host is awaited; that of n is not."""
    await promises.write(promise("r", 3))
    upcoming = await promises.next_generation(promise("r", 3), "w")

    assert (upcoming.generation, upcoming.worker) == (4, "w")
    assert await promises.read("r") == upcoming
    assert await promises.awaited(promise("r", 4)) is True
    assert await promises.awaited(promise("r", 3)) is False


@pytest.mark.parametrize(("dispatches", "seconds"), [(1, 10), (2, 20), (3, 30), (4, 30), (99, 30)])
def test_each_dispatch_in_a_row_is_awaited_longer(dispatches: int, seconds: float) -> None:
    """The wait for a host doubles from 10 s up to 30 s."""
    assert grace_s(dispatches) == seconds


async def test_dispatches_in_a_row_back_off(promises: Promises, redis: Redis) -> None:
    """The third dispatch within two minutes is awaited for 30 s."""
    upcoming = promise()
    for _ in range(3):
        upcoming = await promises.next_generation(upcoming, "w")

    assert 25_000 < await redis.pttl("moshi:awaited:r:3") <= 30_000


async def test_a_dispatch_that_failed_is_not_awaited(promises: Promises) -> None:
    """LiveKit refused it: nobody waits for its host."""
    upcoming = await promises.next_generation(promise(), "w")
    await promises.await_no_more(upcoming)

    assert await promises.awaited(upcoming) is False


async def test_a_host_that_came_is_not_awaited_any_more(promises: Promises) -> None:
    """Once the host is there, its loss is healed at once."""
    upcoming = await promises.next_generation(promise(), "w")
    await promises.arrived([upcoming])

    assert await promises.awaited(upcoming) is False


async def test_hosts_that_come_and_go_are_awaited_all_the_same(promises: Promises) -> None:
    """From the third dispatch in a row on, the wait stays: a host that fails at once is no loop."""
    upcoming = promise()
    for _ in range(3):
        upcoming = await promises.next_generation(upcoming, "w")
        await promises.arrived([upcoming])

    assert await promises.awaited(upcoming) is True


async def test_a_room_is_locked_for_one(promises: Promises) -> None:
    """Who does not wait for a held lock is told that it does not hold it."""
    async with promises.alone("r", 0) as first, promises.alone("r", 0) as second:
        held = (first is not None, second is not None)

    assert held == (True, False)


async def test_locks_are_taken_in_turn(promises: Promises) -> None:
    """Who waits gets the lock when it is free; nobody is inside with another."""
    inside = 0
    most = 0

    async def enter() -> bool:
        nonlocal inside, most
        async with promises.alone("r", 10) as held:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1
            return held is not None

    assert await asyncio.gather(*(enter() for _ in range(5))) == [True] * 5
    assert most == 1


async def test_rooms_do_not_wait_for_each_other(promises: Promises) -> None:
    """Each room has its own lock."""
    async with promises.alone("r", 0) as first, promises.alone("s", 0) as second:
        held = (first is not None, second is not None)

    assert held == (True, True)


async def test_a_lock_that_expired_inside_is_no_error(promises: Promises, redis: Redis) -> None:
    """Who took longer than the lock lives leaves quietly and takes nobody else's lock away."""
    async with promises.alone("r", 0):
        await redis.set("moshi:lock:r", "somebody else")

    assert await redis.get("moshi:lock:r") == "somebody else"


async def test_who_lost_the_lock_writes_nothing(promises: Promises, redis: Redis) -> None:
    """A replica that froze under the lock does not write over what another promised since."""
    await promises.write(promise("r", 1))
    async with promises.alone("r", 0) as lock:
        await redis.set("moshi:lock:r", "somebody else")
        await promises.write(promise("r", 2))
        with pytest.raises(LockLost):
            await promises.next_generation(promise("r", 1), "worker", lock)

    assert await promises.read("r") == promise("r", 2)


async def test_who_holds_the_lock_writes(promises: Promises) -> None:
    """The lock's owner writes as anybody does without one."""
    async with promises.alone("r", 0) as lock:
        await promises.write(promise("r", 1), lock)

    assert await promises.read("r") == promise("r", 1)


async def test_a_lock_outlives_its_owner_by_seconds(promises: Promises, redis: Redis) -> None:
    """A replica that died with a room's lock keeps the room waiting for 5 s at most."""
    async with promises.alone("r", 0):
        left_ms = await redis.pttl("moshi:lock:r")

    assert 4000 < left_ms <= 5000
