"""Costs that do not grow with rooms and workers: reads of a decision, of a sweep, of changes."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from protocol.personas import Persona
from protocol.room_spec import RoomSpec, persona_specs, spec_key
from tests.token_service.players import beat, write
from token_service.fleet.fleet import Fleet
from token_service.fleet.reader import FleetReader
from token_service.rooms.dispatch_import import AT_ONCE
from token_service.rooms.livekit import LiveKitRooms
from token_service.rooms.renewals import PERIOD_S, Renewals
from token_service.rooms.store import SpecStore
from token_service.service import Service

ROOMS = 60
CHEF = persona_specs((Persona(name="chef", label="Chef"),))


def hosted(number: int) -> RoomSpec:
    """Return the spec of one of many rooms, which all have a host."""
    return RoomSpec(room=f"r{number}", session=f"s{number}", generation=1, personas=CHEF)


async def commands(redis: Redis) -> int:
    """Return how many commands redis has carried out."""
    stats: Any = await redis.info("stats")
    return int(stats["total_commands_processed"])


class CountedReader(FleetReader):
    """A reader that counts its readings."""

    reads = 0

    async def fleet(self, redis: Redis | None = None) -> Fleet:
        """Count the reading; read."""
        self.reads += 1
        return await super().fleet(redis)


async def test_changes_at_the_same_moment_share_one_reading(redis: Redis) -> None:
    """Changes of many rooms at once are decided one after another, on one reading."""
    await beat(redis, slots_free=ROOMS)
    workers = CountedReader(redis)
    specs = SpecStore(redis, workers, 600)

    async def take(number: int) -> int:
        def decide(_: RoomSpec | None, fleet: Fleet) -> tuple[RoomSpec, int]:
            fleet.schedule.enqueue(f"r{number}", 1, float(number))
            return hosted(number), len(fleet.schedule.queue)

        return await specs.commit(f"r{number}", decide)

    places = await asyncio.gather(*(take(number) for number in range(ROOMS)))

    assert places == list(range(1, ROOMS + 1))
    assert workers.reads == 1
    assert len(await specs.of(f"r{number}" for number in range(ROOMS))) == ROOMS


async def test_a_change_that_fails_leaves_the_others(redis: Redis) -> None:
    """A change that raises writes nothing, and does not stop those written with it."""
    specs = SpecStore(redis, FleetReader(redis), 600)

    def refuse(_: RoomSpec | None, fleet: Fleet) -> tuple[RoomSpec, None]:
        fleet.schedule.enqueue("refused", 1, 1.0)
        raise KeyError("refused")

    made = await asyncio.gather(
        specs.commit("refused", refuse), write(specs, hosted(1)), return_exceptions=True
    )
    queue = await specs.schedule(lambda fleet: fleet.schedule.queue)

    assert isinstance(made[0], KeyError) and made[1] == hosted(1)
    assert (queue, await specs.read("refused"), await specs.read("r1")) == ([], None, hosted(1))


async def test_a_reading_of_the_fleet_takes_four_commands(redis: Redis) -> None:
    """The fleet is read with four commands, however many keys redis has."""
    await redis.mset({spec_key(f"r{number}"): "-" for number in range(3_000)})
    await beat(redis)
    before = await commands(redis)
    fleet = await FleetReader(redis).fleet()

    assert len(fleet.workers) == 1
    assert await commands(redis) - before - 1 == 4  # INFO itself is the one more


async def test_a_sweep_over_hosted_rooms_sends_few_commands(
    service: Service, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second sweep over 60 hosted rooms sends fewer than 15 commands."""
    specs = [hosted(number) for number in range(ROOMS)]
    await asyncio.gather(*(write(service.specs, spec) for spec in specs))
    await beat(redis, hosts={spec.room: 1 for spec in specs})

    async def names(_: LiveKitRooms, of: object = ()) -> list[str]:
        return [spec.room for spec in specs]

    monkeypatch.setattr(LiveKitRooms, "names", names)
    await redis.expire(spec_key("r0"), 10)
    await service.reconciler.sweep()
    first = await redis.ttl(spec_key("r0"))
    before = await commands(redis)
    await service.reconciler.sweep()

    assert first > 3000
    assert await commands(redis) - before < 15


async def test_a_sweep_asks_about_a_limited_number_of_rooms_at_once(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep asks LiveKit about AT_ONCE rooms at a time, and about every room."""
    asking: list[str] = []
    most = 0

    async def asked_for(_: LiveKitRooms, room: str) -> list[str]:
        nonlocal most
        asking.append(room)
        most = max(most, len(asking))
        await asyncio.sleep(0)
        asking.remove(room)
        return [""]

    monkeypatch.setattr(LiveKitRooms, "asked_for", asked_for)
    rooms = {f"r{number}" for number in range(10 * AT_ONCE)}

    assert set(await service.reconciler.dispatch_import.found(rooms)) == rooms
    assert most == AT_ONCE


def test_lifetimes_are_renewed_once_a_minute() -> None:
    """A room's keys are renewed at its first sweep and then each minute, per session."""
    renewals, one = Renewals(3600.0), hosted(1)
    other = one.model_copy(update={"session": "another"})

    assert renewals.due([one], 0.0) == [one]
    assert sum(len(renewals.due([one], s)) for s in range(1, int(3 * PERIOD_S))) == 3
    assert renewals.due([other], 3 * PERIOD_S) == [other]


def test_renewals_of_rooms_are_spread() -> None:
    """After 600 rooms were seen at once, no later second renews more than thrice its share."""
    renewals, rooms = Renewals(3600.0), [hosted(n) for n in range(600)]
    renewals.due(rooms, 0.0)
    due = [len(renewals.due(rooms, s)) for s in range(1, int(2 * PERIOD_S) + 1)]

    assert max(due) <= 30
    assert sum(due) == 2 * len(rooms)


def test_short_lifetimes_are_renewed_in_time() -> None:
    """Keys that live for a minute are renewed every six seconds."""
    renewals, one = Renewals(60.0), hosted(1)

    assert sum(len(renewals.due([one], tenth / 10)) for tenth in range(601)) in (11, 12)
