"""Healing: lost hosts are removed and replaced, rooms wait in the queue and say why."""

import time
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from livekit import api
from redis.asyncio import Redis

from harness.servers import LiveKit
from protocol import wire
from protocol.events import DispatchedEvent, WaitingEvent
from protocol.heartbeat import HEARTBEAT_TTL_S
from protocol.personas import Persona
from protocol.room_spec import RoomSpec, persona_specs, spec_key
from tests.token_service.players import (
    agent_token,
    are_alone,
    beat,
    die,
    dispatched,
    eventually,
    failures_of,
    joined,
    person_token,
    seal_of,
    stop_waiting,
    write,
)
from token_service.fleet.pulse import Pulse
from token_service.fleet.schedule import CALM_DISPATCHES, FAILURES
from token_service.refusals import LiveKitAway
from token_service.rooms.livekit import LiveKitRooms
from token_service.rooms.reconciler import Reconciler
from token_service.service import Service

CHEF = Persona(name="chef", label="Chef", voice="anna", prompt="You cook.")


@pytest.fixture
async def spec(reconciler: Reconciler, redis: Redis, room: str) -> RoomSpec:
    """Write a ready worker's heartbeat and the room's spec with two personas; return the spec."""
    await beat(redis)
    spec = RoomSpec(room=room, personas=persona_specs([CHEF, CHEF]), opened_s=time.time())
    await write(reconciler.specs, spec)
    return spec


@pytest.fixture(autouse=True)
async def person(livekit: LiveKit, room: str) -> AsyncGenerator[None]:
    """Join the room as ann."""
    async with joined(livekit, person_token(livekit, room)):
        yield


async def queue(service: Service) -> list[str]:
    """Return the rooms in the queue, in their order."""
    return (await service.workers.fleet()).schedule.queue


async def waiting_reason(service: Service, room: str) -> str:
    """Return the code of the reason that the room's events told last."""
    return (await service.workers.fleet()).schedule.room(room).waiting


async def hosted_then_lost(reconciler: Reconciler, redis: Redis, room: str) -> None:
    """Dispatch the first host, have its worker report it, and end that worker.

    In a redis that has run for long enough that a missing heartbeat means a lost worker.
    """
    await eventually(lambda: _has_run(redis), "redis is no new one")
    await reconciler.sweep()
    await beat(redis, hosts={room: 1})
    await reconciler.sweep()
    await die(redis)


async def _has_run(redis: Redis) -> bool:
    return (await redis.info("server"))["uptime_in_seconds"] >= HEARTBEAT_TTL_S


async def test_the_next_host_gets_the_whole_spec(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """The next host's dispatch has all personas with their ids, voices and prompts."""
    await hosted_then_lost(reconciler, redis, spec.room)
    await beat(redis, "another")
    await reconciler.sweep()
    dispatches = await dispatched(livekit, spec.room)

    assert [(each.generation, each.worker) for each in dispatches] == [(2, "another")]
    assert dispatches[0].personas == spec.personas


async def test_a_dead_hosts_participants_are_removed_at_once(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """The participants of a dead host are removed before another worker can replace it."""
    await hosted_then_lost(reconciler, redis, spec.room)
    async with joined(livekit, agent_token(livekit, spec.room, "agent-chef-dead", 1)):
        await reconciler.sweep()
        await eventually(lambda: are_alone(livekit, spec.room, "ann"), "the dead agent is gone")


async def test_a_host_from_a_worker_that_died_is_not_awaited(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """A worker that dies between dispatch and arrival is replaced without a time-out."""
    await reconciler.sweep()
    await die(redis)
    await beat(redis, "another")
    await reconciler.sweep()

    assert [each.worker for each in await dispatched(livekit, spec.room)] == ["another"]


async def test_a_replica_that_froze_dispatches_no_second_host(
    reconciler: Reconciler,
    redis: Redis,
    livekit: LiveKit,
    spec: RoomSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A replica that froze during a sweep dispatches no host that another replica has replaced."""
    await hosted_then_lost(reconciler, redis, spec.room)
    await beat(redis, "another")
    look = LiveKitRooms.participants

    async def frozen_meanwhile(rooms: LiveKitRooms, room: str) -> list[api.ParticipantInfo]:
        monkeypatch.setattr(LiveKitRooms, "participants", look)
        inside = await look(rooms, room)
        await reconciler.reconcile(room)  # as another replica does
        return inside

    monkeypatch.setattr(LiveKitRooms, "participants", frozen_meanwhile)
    await reconciler.sweep()

    assert [each.generation for each in await dispatched(livekit, spec.room)] == [2]


async def test_a_reason_for_waiting_is_one_event(
    service: Service, redis: Redis, spec: RoomSpec
) -> None:
    """Each reason for waiting is one event, and the dispatch ends the waiting."""
    await beat(redis, slots_free=1, slots_used=5)
    for _ in range(3):
        await service.reconciler.sweep()
    await die(redis)
    await service.reconciler.sweep()
    waiting = await waiting_reason(service, spec.room)
    await beat(redis)
    await service.reconciler.sweep()
    events = await service.events.so_far(spec.room)

    assert [each.code for each in events if isinstance(each, WaitingEvent)] == ["full", "no_worker"]
    assert isinstance(events[-1], DispatchedEvent)
    assert (waiting, await waiting_reason(service, spec.room)) == ("no_worker", "")


async def test_rooms_are_served_in_the_order_they_came(
    service: Service, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """The room whose session was opened first gets the first free slot."""
    await beat(redis, slots_free=0, slots_used=6)
    rooms = [f"{room}-{number}" for number in range(3)]
    for age, each in enumerate(rooms):
        spec = RoomSpec(room=each, personas=persona_specs([CHEF]), opened_s=100.0 - age)
        await write(service.specs, spec)
    people = [joined(livekit, person_token(livekit, each)) for each in rooms]
    async with people[0], people[1], people[2]:
        await service.reconciler.sweep()
        line = await queue(service)
        await beat(redis, slots_free=1, slots_used=5)
        await service.reconciler.sweep()
        served = [len(await dispatched(livekit, each)) for each in rooms]

    assert line == rooms[::-1]
    assert served == [0, 0, 1]


async def test_an_empty_room_leaves_the_queue(
    service: Service, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """A room without people leaves the queue."""
    await beat(redis, slots_free=0)
    other = f"{room}-2"
    await write(service.specs, RoomSpec(room=other, personas=persona_specs([CHEF]), opened_s=1.0))
    async with joined(livekit, person_token(livekit, other)):
        await service.reconciler.sweep()
        line = await queue(service)
    await eventually(lambda: _empty(service, other), "the person is gone")
    await service.reconciler.sweep()

    assert line == [other]
    assert await queue(service) == []


async def _empty(service: Service, room: str) -> bool:
    return not await service.rooms.people(room)


async def test_a_worker_that_brings_no_host_gets_nothing_more(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """After three dispatches without a host the next dispatch goes to another worker."""
    for _ in range(3):
        await reconciler.sweep()
        await stop_waiting(reconciler.specs, spec.room)
    await beat(redis, "another", slots_free=2)
    await reconciler.sweep()

    assert [each.worker for each in await dispatched(livekit, spec.room)] == ["another"]


async def test_a_failure_is_counted_once(
    reconciler: Reconciler, redis: Redis, spec: RoomSpec
) -> None:
    """A lost host counts as one failure, however long the room waits for the next."""
    await reconciler.sweep()
    await stop_waiting(reconciler.specs, spec.room)
    await beat(redis, slots_free=0)
    for _ in range(4):
        await reconciler.sweep()

    assert await failures_of(redis) == 1


async def test_a_host_that_left_is_no_failure(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """A host that leaves is no failure of its worker, which gets the room again."""
    for generation in range(1, FAILURES + 2):
        await reconciler.sweep()
        await beat(redis, hosts={spec.room: generation})
        await reconciler.sweep()
        await beat(redis)
        await stop_waiting(reconciler.specs, spec.room)

    assert [each.generation for each in await dispatched(livekit, spec.room)] == [FAILURES + 1]
    assert await failures_of(redis) == 0


async def test_a_host_that_came_and_left_between_two_sweeps_is_no_failure(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """A host that came and left between two sweeps is no failure, and is not awaited."""
    for generation in range(1, CALM_DISPATCHES + 1):
        await reconciler.sweep()
        await beat(redis, left={spec.room: generation})
    await reconciler.sweep()

    dispatches = await dispatched(livekit, spec.room)
    assert [each.generation for each in dispatches] == [CALM_DISPATCHES + 1]
    assert await failures_of(redis) == 0


async def test_a_host_that_failed_is_a_failure(
    reconciler: Reconciler, redis: Redis, spec: RoomSpec
) -> None:
    """A host that ends with an error is a failure of its worker."""
    await reconciler.sweep()
    await beat(redis, hosts={spec.room: 1})
    await reconciler.sweep()
    await beat(redis, failed={spec.room: 1})
    await reconciler.sweep()

    assert await failures_of(redis) == 1


class DispatchesNothing(LiveKitRooms):
    """A LiveKit that accepts no dispatch."""

    async def dispatch(self, spec: RoomSpec) -> None:
        """Raise LiveKitAway."""
        raise LiveKitAway


async def test_a_dispatch_that_livekit_refuses_is_no_failure(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """A dispatch that LiveKit refuses reserves no slot, is no failure, and is repeated."""
    async with livekit.client() as lkapi:
        await replace(reconciler, rooms=DispatchesNothing(lkapi, seal_of(livekit))).sweep()
    fleet = await reconciler.workers.fleet()
    await reconciler.sweep()

    assert fleet.reserved()[fleet.workers[0].worker_id] == 0
    assert await failures_of(redis) == 0
    assert [each.generation for each in await dispatched(livekit, spec.room)] == [2]


async def test_a_room_that_kills_its_workers_waits(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """A room whose workers keep dying is dispatched CALM_DISPATCHES + 1 times, and then waits."""
    await die(redis)
    for number in range(CALM_DISPATCHES + 3):
        await beat(redis, f"worker {number}")
        await reconciler.sweep()
        await die(redis, f"worker {number}")

    generations = [each.generation for each in await dispatched(livekit, spec.room)]
    assert generations == [CALM_DISPATCHES + 1]


async def test_a_new_session_has_no_precedence_in_the_queue(
    service: Service, redis: Redis, spec: RoomSpec
) -> None:
    """A room of an earlier session that lost no host has no precedence in the queue."""
    await beat(redis, slots_free=0, slots_used=6)
    again = spec.model_copy(update={"generation": 3})
    await write(service.specs, again)
    await service.specs.schedule(lambda now: now.schedule.enqueue("early", 1, spec.opened_s - 1))
    await service.reconciler.reconcile(spec.room)

    assert await queue(service) == ["early", spec.room]


async def test_a_redis_that_stood_still_costs_no_host(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """Heartbeats that ended while redis stood still replace no host, though no call failed."""
    now_s = 0.0
    pulse = Pulse(redis, lambda: now_s)
    pulse.answered()
    await hosted_then_lost(reconciler, redis, spec.room)
    await beat(redis, "another")
    now_s = HEARTBEAT_TTL_S
    await replace(reconciler, pulse=pulse).sweep()

    assert [each.generation for each in await dispatched(livekit, spec.room)] == [1]


async def test_a_host_that_redis_forgot_is_not_replaced(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """Where redis came back with data from before a move, the room's host is left alone."""
    await hosted_then_lost(reconciler, redis, spec.room)
    await beat(redis, "another", hosts={spec.room: 2})
    await reconciler.sweep()

    assert [each.generation for each in await dispatched(livekit, spec.room)] == [1]


async def test_a_session_is_restored_after_redis_lost_everything(
    service: Service, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """After redis lost everything, the spec that the host writes back restores the session."""
    await beat(redis)
    opened = RoomSpec(
        room=room,
        personas=persona_specs([CHEF, CHEF]),
        session="5e55",
        opened_s=100.0,
        owner="key:shop",
        opener="ann",
    )
    await write(service.specs, opened)
    await service.reconciler.sweep()
    spec = await service.specs.read(room)
    assert spec is not None
    await redis.flushdb()
    await service.reconciler.sweep()
    await beat(redis, hosts={room: 1})
    await redis.set(spec_key(room), spec.model_dump_json())  # as worker/fleet/heartbeat.py does
    await service.reconciler.sweep()

    assert (spec.generation, await service.specs.read(room)) == (1, spec)
    assert await service.specs.of_session("5e55") == spec
    assert await service.specs.owned("key:shop", 10) == [spec]
    assert [each.generation for each in await dispatched(livekit, room)] == [1]


async def test_a_clients_own_dispatch_is_not_restored(
    service: Service, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """A client's own dispatch with a worker's agent name makes no spec."""
    forged = RoomSpec(
        room=room, personas=persona_specs([CHEF]), generation=999_999, owner="key:shop"
    )
    request = api.CreateAgentDispatchRequest(
        agent_name=wire.agent_name("worker"), room=room, metadata=forged.metadata()
    )
    async with livekit.client() as lkapi:
        await lkapi.agent_dispatch.create_dispatch(request)
    await redis.flushdb()
    await beat(redis)
    await service.reconciler.sweep()

    assert await service.specs.read(room) is None


async def test_an_ended_room_is_cleared(
    service: Service, livekit: LiveKit, spec: RoomSpec, redis: Redis
) -> None:
    """An ended room's people are removed at once, and the room once its personas have left."""
    ended = {"ended": True, "ended_s": time.time()}
    await write(service.specs, spec.model_copy(update=ended))
    async with joined(livekit, agent_token(livekit, spec.room, "agent-chef-1", 1)):
        await service.reconciler.sweep()
        await eventually(
            lambda: are_alone(livekit, spec.room, "agent-chef-1"), "the person is gone"
        )
    await service.reconciler.sweep()

    async def closed() -> bool:
        await service.reconciler.sweep()
        return spec.room not in await service.rooms.names()

    await eventually(closed, "the room is gone")
