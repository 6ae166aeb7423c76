"""Places: slots held for rooms, never twice, for a time; and the line of who waits for them."""

import asyncio

import pytest
from redis.asyncio import Redis

from tests.token_service.players import beat, eventually
from token_service.fleet.breakers import Breakers
from token_service.fleet.reader import FleetReader
from token_service.fleet.reservations import FIRST, Reservations

HOLD_S = 30.0


class Desk:
    """Takes places of the workers that beat."""

    def __init__(self, redis: Redis) -> None:
        self.places = Reservations(redis)
        self.breakers = Breakers(redis)
        self.workers = FleetReader(redis, self.breakers)

    async def take(self, room: str, slots: int = 1, hold_s: float = HOLD_S) -> str | None:
        """Take a place as the service does."""
        return await self.places.take(room, slots, hold_s, await self.workers.fleet())


@pytest.fixture
def desk(redis: Redis) -> Desk:
    """A desk without workers."""
    return Desk(redis)


async def test_the_last_place_is_given_once(desk: Desk, redis: Redis) -> None:
    """Of two who ask at once for the last slots, one gets them."""
    await beat(redis, slots_free=2)
    given = await asyncio.gather(desk.take("a", 2), desk.take("b", 2))

    assert sorted(given, key=str) == [None, "worker"]


async def test_no_slot_is_given_twice(desk: Desk, redis: Redis) -> None:
    """Twenty rooms of two at once get the three places of one worker and the two of another."""
    await beat(redis, "one", slots_free=6)
    await beat(redis, "two", slots_free=5)
    given = await asyncio.gather(*(desk.take(f"room {number}", 2) for number in range(20)))

    assert sorted(given, key=str) == [None] * 15 + ["one"] * 3 + ["two"] * 2


async def test_a_room_is_never_split(desk: Desk, redis: Redis) -> None:
    """All slots of a room are one worker's."""
    await beat(redis, "one", slots_free=2)
    await beat(redis, "two", slots_free=2)

    assert await desk.take("a", 3) is None


async def test_the_emptiest_worker_is_taken(desk: Desk, redis: Redis) -> None:
    """Rooms spread over the workers, so that steps stay short."""
    await beat(redis, "one", slots_free=5)
    await beat(redis, "two", slots_free=6)

    assert [await desk.take(room, 2) for room in "abc"] == ["two", "one", "two"]


async def test_a_place_is_held_for_a_time(desk: Desk, redis: Redis) -> None:
    """Who does not come loses the place to the next."""
    await beat(redis, slots_free=1)
    await desk.take("a", hold_s=0.05)

    async def free_again() -> bool:
        return await desk.take("b") == "worker"

    await eventually(free_again, "the place is free again")


async def test_who_holds_a_place_keeps_it(desk: Desk, redis: Redis) -> None:
    """Asked again, the same worker is given, though another is emptier by then."""
    await beat(redis, "one", slots_free=2)
    await desk.take("a")
    await beat(redis, "two", slots_free=6)

    assert await desk.take("a", 2) == "one"


async def test_a_hosted_rooms_place_is_not_counted_twice(desk: Desk, redis: Redis) -> None:
    """Once the heartbeat counts the slots of a room, nothing is held for it any more."""
    await beat(redis, slots_free=2)
    await desk.take("a")
    await beat(redis, slots_free=1, slots_used=1, hosts={"a": 1})

    assert await desk.take("b") == "worker"


async def test_what_is_held_is_not_shown_as_free(desk: Desk, redis: Redis) -> None:
    """The fleet counts as places do."""
    await beat(redis, slots_free=6)
    await desk.take("a", 4)
    fleet = await desk.workers.fleet()

    assert fleet.slots_free == 2
    assert (obstacle := fleet.obstacle(3)) is not None and obstacle.code == "full"


async def test_a_released_place_is_free(desk: Desk, redis: Redis) -> None:
    """A session that ends before anybody came gives its place back at once."""
    await beat(redis, slots_free=1)
    await desk.take("a")
    await desk.places.release("a")

    assert await desk.take("b") == "worker"


@pytest.mark.parametrize("state", ["starting", "loading_model", "draining", "error"])
async def test_only_ready_workers_are_taken(desk: Desk, redis: Redis, state: str) -> None:
    """A worker that takes no rooms has no place."""
    await beat(redis, state=state)

    assert await desk.take("a") is None


async def test_who_waits_longer_comes_first(desk: Desk, redis: Redis) -> None:
    """Who came later, or waits in no line, gets nothing while somebody before them waits."""
    await beat(redis, slots_free=1)
    await desk.places.wait("late", 1, 20.0)
    await desk.places.wait("early", 1, 10.0)
    given = [await desk.take(room) for room in ("new", "late", "early")]

    assert given == [None, None, "worker"]
    assert await desk.places.line() == ["late"]


async def test_who_lost_a_host_comes_before_everybody(desk: Desk, redis: Redis) -> None:
    """A conversation that was under way goes on before another begins."""
    await desk.places.wait("early", 1, 10.0)
    await desk.places.wait("lost", 1, FIRST)

    assert await desk.places.line() == ["lost", "early"]


async def test_who_no_worker_could_ever_take_keeps_nobody_waiting(desk: Desk, redis: Redis) -> None:
    """A room of more personas than any worker has slots waits without blocking the line."""
    await beat(redis, slots_free=6)
    await desk.places.wait("crowd", 7, FIRST)

    assert await desk.take("a") == "worker"


async def test_a_place_in_the_line_is_told(desk: Desk, redis: Redis) -> None:
    """Who is in the line, or would be from a moment on, learns the position, counted from 1."""
    await desk.places.wait("early", 1, 10.0)
    await desk.places.wait("late", 1, 20.0)

    assert await desk.places.position("late", 20.0) == 2
    assert await desk.places.position("between", 15.0) == 2


async def test_a_guarded_worker_gets_nothing(desk: Desk, redis: Redis) -> None:
    """After three failures within a minute the other worker is taken, though it is fuller."""
    await beat(redis, "bad", slots_free=6)
    await beat(redis, "good", slots_free=1)
    for _ in range(3):
        await desk.breakers.failed("bad")

    assert await desk.take("a") == "good"
    assert await desk.take("b") is None


async def test_two_failures_are_an_accident(desk: Desk, redis: Redis) -> None:
    """A worker is guarded from the third on."""
    for _ in range(2):
        await desk.breakers.failed("w")

    assert await desk.breakers.opened(["w"]) == frozenset()


async def test_a_breaker_closes_and_opens_for_longer(desk: Desk, redis: Redis) -> None:
    """It is open for half a minute; then one more failure opens it for a whole one."""
    for _ in range(3):
        await desk.breakers.failed("w")
    first = await redis.ttl("moshi:breaker:w")
    await redis.delete("moshi:breaker:w")
    closed = await desk.breakers.opened(["w"])
    await desk.breakers.failed("w")

    assert closed == frozenset()
    assert await desk.breakers.opened(["w", "v"]) == {"w"}
    assert 25 < first <= 30
    assert 55 < await redis.ttl("moshi:breaker:w") <= 60


async def test_an_open_breaker_counts_nothing(desk: Desk, redis: Redis) -> None:
    """Failures of dispatches that were on their way make it neither longer nor worse."""
    for _ in range(6):
        await desk.breakers.failed("w")

    assert 25 < await redis.ttl("moshi:breaker:w") <= 30
    assert await redis.get("moshi:openings:w") == "1"


async def test_all_workers_guarded_is_a_reason(desk: Desk, redis: Redis) -> None:
    """Nobody is told that places are taken where conversations fail."""
    await beat(redis)
    for _ in range(3):
        await desk.breakers.failed("worker")
    obstacle = (await desk.workers.fleet()).obstacle(1)

    assert obstacle is not None
    assert (obstacle.code, obstacle.retry_after_s) == ("worker_failing", 30)


async def test_a_hosted_room_holds_no_place(desk: Desk, redis: Redis) -> None:
    """A place is not held on for a room that was hosted and is over before its time."""
    await beat(redis, slots_free=1)
    await desk.take("a")
    await desk.places.settle(["a", "unknown"])

    assert await desk.take("b") == "worker"
