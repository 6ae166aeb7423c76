"""Specs in redis: how long they live, and that concurrent changes lose nothing."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError

from protocol.personas import Persona
from protocol.room_spec import PersonaSpec, RoomSpec, spec_key
from tests.token_service.players import write
from token_service.fleet.fleet import Fleet
from token_service.fleet.reader import FleetReader
from token_service.fleet.schedule import SCHEDULE_KEY
from token_service.refusals import SpecUnreadable
from token_service.rooms.store import SINCE_FIELD, SpecChanged, SpecStore

TTL_S = 600
CHEF = Persona(name="chef", label="Chef")


@pytest.fixture
def specs(redis: Redis) -> SpecStore:
    """Return a store whose specs live for ten minutes."""
    return SpecStore(redis, FleetReader(redis), TTL_S)


def spec(room: str = "r", generation: int = 0) -> RoomSpec:
    """Return a spec with one persona."""
    return RoomSpec(room=room, generation=generation, personas=(CHEF,))


async def test_a_spec_is_read_as_it_was_written(specs: SpecStore) -> None:
    """A spec is read as it was written."""
    await write(specs, spec("r", 3))

    assert await specs.read("r") == spec("r", 3)


async def test_a_room_without_a_spec_has_none(specs: SpecStore) -> None:
    """A room without a spec reads as None."""
    assert await specs.read("r") is None


async def test_a_spec_lives_for_its_time(specs: SpecStore, redis: Redis) -> None:
    """A spec expires after the store's lifetime."""
    await write(specs, spec())

    assert TTL_S - 5 < await redis.ttl(spec_key("r")) <= TTL_S


async def test_a_touched_spec_lives_on(specs: SpecStore, redis: Redis) -> None:
    """Touching a room's spec renews its lifetime."""
    await write(specs, spec())
    await redis.expire(spec_key("r"), 10)
    await specs.touch([spec()])

    assert TTL_S - 5 < await redis.ttl(spec_key("r")) <= TTL_S


async def test_touching_brings_no_spec_back(specs: SpecStore, redis: Redis) -> None:
    """Touching a spec that is gone does not write it again."""
    await specs.touch([spec()])

    assert await redis.keys("moshi:promise:*") == []


async def test_rooms_without_a_spec_are_left_out(specs: SpecStore) -> None:
    """`of` returns the specs of those rooms that have one."""
    await write(specs, spec("ours"))

    assert await specs.of(["theirs", "ours"]) == [spec("ours")]
    assert await specs.of([]) == []


async def test_a_spec_that_cannot_be_read_is_left_as_it_is(specs: SpecStore, redis: Redis) -> None:
    """A room whose spec only a newer version reads is not free, and other rooms are changed."""
    await redis.set(spec_key("newer"), "{}")

    def take(now: RoomSpec | None, _: Fleet) -> tuple[RoomSpec, None]:
        return now or spec("newer"), None

    taken = specs.commit("newer", take)
    ours = specs.commit("ours", lambda *_: (spec("ours"), None))
    refused, made = await asyncio.gather(taken, ours, return_exceptions=True)
    with pytest.raises(SpecUnreadable):
        await specs.read("newer")

    assert (type(refused), made) == (SpecUnreadable, None)
    assert await redis.get(spec_key("newer")) == "{}"
    assert await specs.of(["newer", "ours"]) == [spec("ours")]


async def test_a_change_keeps_a_newer_versions_fields(specs: SpecStore, redis: Redis) -> None:
    """What a newer version wrote into a spec and a schedule is in redis after a change by this."""
    persona = {"name": "chef", "label": "Chef", "mood": "calm", "sampling": {"newer": 2}}
    newer = {"room": "r", "personas": [persona], "colour": "blue"}
    await redis.set(spec_key("r"), json.dumps(newer))
    entry = {"needs": 1, "queued_s": 1, "expires_s": time.time() + 60, "colour": "red"}
    await redis.hset(SCHEDULE_KEY, "room:r", json.dumps(entry))  # type: ignore[misc]  # redis-py's union

    def change(now: RoomSpec | None, fleet: Fleet) -> tuple[RoomSpec | None, None]:
        assert now is not None
        fleet.schedule.dispatch("r", 1)
        return now.moving_to("w"), None

    await specs.commit("r", change)
    written = json.loads(await redis.get(spec_key("r")))
    scheduled: Any = await redis.hget(SCHEDULE_KEY, "room:r")  # type: ignore[misc]  # as above

    assert (written["colour"], written["standby"]) == ("blue", "w")
    assert written["personas"][0]["mood"] == "calm"
    assert written["personas"][0]["sampling"]["newer"] == 2
    assert (json.loads(scheduled)["colour"], json.loads(scheduled)["awaited"]) == ("red", 1)


async def test_many_changes_at_once_are_all_made(specs: SpecStore) -> None:
    """A change that another one overtook is decided again on the other's result."""
    await write(specs, spec())

    def add(now: RoomSpec | None, _: Fleet) -> tuple[RoomSpec, None]:
        assert now is not None
        more = PersonaSpec(name="chef", label="Chef", id=f"more{len(now.personas)}")
        return now.model_copy(update={"personas": (*now.personas, more)}), None

    await asyncio.gather(*(specs.commit("r", add) for _ in range(5)))
    changed = await specs.read("r")

    assert changed is not None and len(changed.personas) == 6


async def test_spec_and_schedule_change_together(specs: SpecStore) -> None:
    """A decision that raises writes neither spec nor schedule."""

    def fail(_: RoomSpec | None, fleet: Fleet) -> tuple[RoomSpec, None]:
        fleet.schedule.enqueue("r", 1, 1.0)
        raise SpecChanged

    with pytest.raises(SpecChanged):
        await specs.commit("r", fail)
    queue = await specs.schedule(lambda fleet: fleet.schedule.queue)

    assert (await specs.read("r"), queue) == (None, [])


async def test_a_change_that_was_overtaken_is_decided_again(specs: SpecStore, redis: Redis) -> None:
    """A change of a replica that froze is decided again on what another replica wrote."""
    await write(specs, spec("r", 1))
    seen: list[int] = []
    frozen = FrozenOnce(
        redis, lambda: write(SpecStore(redis, FleetReader(redis), 600), spec("r", 7))
    )

    def decide(now: RoomSpec | None, _: Fleet) -> tuple[RoomSpec, None]:
        assert now is not None
        seen.append(now.generation)
        return spec("r", now.generation + 1), None

    await SpecStore(redis, frozen, TTL_S).commit("r", decide)

    assert (seen, await specs.read("r")) == ([1, 7], spec("r", 8))


async def test_a_change_is_made_once_though_its_answer_was_lost(
    specs: SpecStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that redis wrote before the connection broke is not made a second time."""
    await write(specs, spec("r", 1))
    execute = Pipeline._execute_transaction  # pyright: ignore[reportPrivateUsage]
    seen: list[int] = []

    async def lose_first_answer(self: Any, *arguments: Any) -> Any:
        answer = await execute(self, *arguments)
        monkeypatch.setattr(Pipeline, "_execute_transaction", execute)
        self.watching = True  # as while an answer is awaited
        raise ConnectionError(f"{len(answer)} answers lost")

    def decide(now: RoomSpec | None, _: Fleet) -> tuple[RoomSpec, int]:
        assert now is not None
        seen.append(now.generation)
        return spec("r", now.generation + 1), len(seen)

    monkeypatch.setattr(Pipeline, "_execute_transaction", lose_first_answer)
    made = await specs.commit("r", decide)

    assert (made, seen, await specs.read("r")) == (1, [1], spec("r", 2))


class FrozenOnce(FleetReader):
    """A reader during whose first reading another replica writes."""

    def __init__(self, redis: Redis, meanwhile: Callable[[], Awaitable[RoomSpec]]) -> None:
        super().__init__(redis)
        self._meanwhile: Callable[[], Awaitable[RoomSpec]] | None = meanwhile

    async def fleet(self, redis: Redis | None = None) -> Fleet:
        """Read the fleet, after the other replica's change."""
        if (meanwhile := self._meanwhile) is not None:
            self._meanwhile = None
            await meanwhile()
        return await super().fleet(redis)


@pytest.mark.parametrize(
    ("since_s", "restoring"), [(-10.0, False), (-1.0, True), (None, True), (3600.0, False)]
)
async def test_hosts_are_given_time_to_restore(
    specs: SpecStore, redis: Redis, since_s: float | None, restoring: bool
) -> None:
    """For three seconds after redis was found empty, its specs count as being restored.

    No longer where the clock is set back: no room would get a host meanwhile.
    """
    await redis.delete(SCHEDULE_KEY)
    if since_s is not None:
        await redis.hset(SCHEDULE_KEY, SINCE_FIELD, str(time.time() + since_s))

    assert await specs.is_restoring() is restoring
    assert await specs.is_restoring() is restoring
