"""The reconciler in a real LiveKit: people, a spec and no live host make one dispatch."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from livekit import api
from livekit.api.room_service import RoomService
from redis.asyncio import Redis
from structlog.testing import capture_logs

from harness.servers import LiveKit
from protocol.config.settings import Settings
from protocol.personas import Persona
from protocol.room_spec import RoomSpec
from tests.token_service.players import (
    agent_token,
    beat,
    die,
    dispatched,
    eventually,
    failures_of,
    identities,
    joined,
    person_token,
    seal_of,
    stop_waiting,
    write,
)
from token_service import metrics
from token_service.auth.grants import person_grant
from token_service.fleet.schedule import CALM_DISPATCHES
from token_service.refusals import LiveKitAway
from token_service.rooms.livekit import LiveKitRooms
from token_service.rooms.reconciler import Reconciler
from token_service.service import Service, catalogue_of, open_service

CHEF = Persona(name="chef", label="Chef")


@pytest.fixture
async def replica(settings: Settings) -> AsyncGenerator[Reconciler]:
    """Start a second service on the same redis and LiveKit; return its reconciler."""
    async with open_service(settings, catalogue_of(settings)) as service:
        yield service.reconciler


@pytest.fixture
async def spec(reconciler: Reconciler, redis: Redis, room: str) -> RoomSpec:
    """Write a ready worker's heartbeat and the room's spec with one persona; return the spec."""
    await beat(redis)
    spec = RoomSpec(room=room, personas=(CHEF,))
    await write(reconciler.specs, spec)
    return spec


@pytest.fixture
async def person(livekit: LiveKit, room: str) -> AsyncGenerator[None]:
    """Join the room as ann."""
    async with joined(livekit, person_token(livekit, room)):
        yield


def generation(spec: RoomSpec, number: int, worker: str = "worker") -> RoomSpec:
    """Return the spec as of a generation, dispatched to a worker."""
    return spec.model_copy(update={"generation": number, "worker": worker})


def lost_hosts() -> float:
    """Return how many hosts this process has counted as lost."""
    return metrics.LOST_HOSTS._value.get()  # pyright: ignore[reportPrivateUsage]


@pytest.mark.usefixtures("person")
async def test_a_room_with_people_gets_its_host(
    reconciler: Reconciler, livekit: LiveKit, spec: RoomSpec
) -> None:
    """The dispatch carries the spec with generation 1, and redis has the same spec."""
    await reconciler.sweep()

    assert await dispatched(livekit, spec.room) == [generation(spec, 1)]
    assert await reconciler.specs.read(spec.room) == generation(spec, 1)


async def test_a_hidden_participant_gets_no_host(
    reconciler: Reconciler, livekit: LiveKit, spec: RoomSpec
) -> None:
    """A participant that listens in unseen gets no host, which would leave it at once."""
    grant = person_grant(spec.room)
    grant.hidden = True
    token = api.AccessToken(livekit.api_key, livekit.api_secret).with_identity("supervisor")
    async with joined(livekit, token.with_grants(grant).to_jwt()):
        await reconciler.sweep()

        assert await dispatched(livekit, spec.room) == []


async def test_a_dispatch_is_made_once(
    reconciler: Reconciler, replica: Reconciler, livekit: LiveKit, spec: RoomSpec
) -> None:
    """Two people who join at once, seen by two replicas, lead to one dispatch."""

    async def join_and_be_seen(identity: str, seen_by: Reconciler) -> None:
        await stack.enter_async_context(joined(livekit, person_token(livekit, spec.room, identity)))
        await asyncio.gather(seen_by.reconcile(spec.room), seen_by.sweep())

    async with AsyncExitStack() as stack:
        await asyncio.gather(join_and_be_seen("ann", reconciler), join_and_be_seen("bob", replica))
        await reconciler.sweep()

        assert await dispatched(livekit, spec.room) == [generation(spec, 1)]


async def test_an_empty_room_gets_no_dispatch(
    reconciler: Reconciler, livekit: LiveKit, spec: RoomSpec
) -> None:
    """A room without people gets no dispatch."""
    await reconciler.sweep()
    await reconciler.reconcile(spec.room)

    assert await reconciler.specs.read(spec.room) == spec


async def test_agents_alone_get_no_dispatch(
    reconciler: Reconciler, livekit: LiveKit, spec: RoomSpec
) -> None:
    """A room with agents alone gets no dispatch."""
    async with joined(livekit, agent_token(livekit, spec.room, "agent-chef-1", 1)):
        await reconciler.sweep()

    assert await reconciler.specs.read(spec.room) == spec


@pytest.mark.usefixtures("person")
async def test_a_room_without_a_spec_gets_no_dispatch(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """A room without a spec gets no dispatch."""
    await beat(redis)
    await reconciler.sweep()
    await reconciler.reconcile(room)

    assert await dispatched(livekit, room) == []


@pytest.mark.usefixtures("person")
async def test_a_hosted_room_gets_no_second_host(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """A room whose generation a heartbeat reports as hosted gets no dispatch."""
    await reconciler.sweep()
    await beat(redis, hosts={spec.room: 1})
    await reconciler.sweep()
    await reconciler.reconcile(spec.room)

    assert await dispatched(livekit, spec.room) == [generation(spec, 1)]


@pytest.mark.usefixtures("person")
async def test_a_lost_host_is_replaced_by_the_next_generation(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """A room whose host's worker is lost gets one dispatch of the next generation."""
    lost = lost_hosts()
    await reconciler.sweep()
    await beat(redis, hosts={spec.room: 1})
    await reconciler.sweep()
    await die(redis)
    await beat(redis, "another")
    await reconciler.sweep()

    assert await dispatched(livekit, spec.room) == [generation(spec, 2, "another")]
    assert lost_hosts() == lost + 1


async def test_a_host_that_left_an_empty_room_is_not_lost(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """People who come back to a room find no lost host, and their host is a later one."""
    lost = lost_hosts()
    async with joined(livekit, person_token(livekit, spec.room)):
        await reconciler.sweep()
        await beat(redis, hosts={spec.room: 1})
        await reconciler.sweep()

    async def empty() -> bool:
        return not await reconciler.rooms.people(spec.room)

    await eventually(empty, "the person is gone")
    await beat(redis, left={spec.room: 1})
    await reconciler.sweep()
    await beat(redis)  # a worker forgets soon what became of a room
    async with joined(livekit, person_token(livekit, spec.room)):
        await reconciler.sweep()

        assert await dispatched(livekit, spec.room) == [generation(spec, 2)]
    assert lost_hosts() == lost


@pytest.mark.usefixtures("person")
async def test_a_dispatch_that_brings_no_host_is_made_anew(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """A dispatch without a host is repeated after the time for which a host is awaited."""
    await reconciler.sweep()
    await reconciler.sweep()
    before = await dispatched(livekit, spec.room)
    await stop_waiting(reconciler.specs, spec.room)
    await reconciler.sweep()

    assert before == [generation(spec, 1)]
    assert await dispatched(livekit, spec.room) == [generation(spec, 2)]


@pytest.mark.usefixtures("person")
async def test_a_worker_that_refuses_is_not_awaited(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """A room that a full worker refused is dispatched to another, and that is no failure."""
    full = {"slots_free": 0, "slots_used": 6}
    for number in range(1, CALM_DISPATCHES + 1):
        await beat(redis)
        await reconciler.sweep()
        await beat(redis, **full, refused={spec.room: number})
        await reconciler.sweep()
    await beat(redis, "another")
    await reconciler.sweep()

    dispatches = await dispatched(livekit, spec.room)
    assert dispatches == [generation(spec, CALM_DISPATCHES + 1, "another")]
    assert await failures_of(redis) == 0


@pytest.mark.usefixtures("person")
async def test_a_dispatch_waits_for_free_slots(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """A dispatch waits until a worker has the slots."""
    await beat(redis, slots_free=0)
    await reconciler.sweep()
    full = await dispatched(livekit, spec.room)
    await beat(redis, slots_free=1)
    await reconciler.sweep()

    assert full == []
    assert await dispatched(livekit, spec.room) == [generation(spec, 1)]


@pytest.mark.usefixtures("person")
async def test_agents_of_older_generations_are_removed(
    reconciler: Reconciler, livekit: LiveKit, spec: RoomSpec
) -> None:
    """A new dispatch removes our agents of older generations, and no other participant."""
    await write(reconciler.specs, generation(spec, 4))
    room = spec.room
    async with (
        joined(livekit, agent_token(livekit, room, "agent-chef-old", 4)),
        joined(livekit, agent_token(livekit, room, "agent-chef-new", 5)),
        joined(livekit, agent_token(livekit, room, "somebodys", None)),
    ):
        await reconciler.sweep()

        async def gone() -> bool:
            return "agent-chef-old" not in await identities(livekit, room)

        await eventually(gone, "the old agent is gone")
        assert await identities(livekit, room) == {"ann", "agent-chef-new", "somebodys"}


@pytest.mark.usefixtures("person")
async def test_a_spec_lives_while_people_are_there(
    reconciler: Reconciler, redis: Redis, spec: RoomSpec
) -> None:
    """Each sweep over a room with people in it renews the spec's lifetime."""
    await redis.expire(f"moshi:promise:{spec.room}", 60)
    await reconciler.sweep()
    unhosted = await redis.ttl(f"moshi:promise:{spec.room}")
    await beat(redis, hosts={spec.room: 1})
    await redis.expire(f"moshi:promise:{spec.room}", 60)
    await reconciler.sweep()

    assert unhosted > 3000
    assert await redis.ttl(f"moshi:promise:{spec.room}") > 3000


class FirstFails(LiveKitRooms):
    """A LiveKit that fails for the first room that it is asked about."""

    asked = 0

    async def participants(self, room: str) -> list[api.ParticipantInfo]:
        """Raise LiveKitAway once, then return the participants."""
        self.asked += 1
        if self.asked == 1:
            raise LiveKitAway
        return await super().participants(room)


async def test_a_failure_of_one_room_delays_no_other(
    service: Service, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """A room that LiveKit fails for is left for the next sweep, and other rooms are served."""
    await beat(redis)
    rooms = [f"{room}-1", f"{room}-2"]
    for each in rooms:
        await write(service.reconciler.specs, RoomSpec(room=each, personas=(CHEF,)))
    async with (
        livekit.client() as lkapi,
        joined(livekit, person_token(livekit, rooms[0])),
        joined(livekit, person_token(livekit, rooms[1])),
    ):
        reconciler = replace(service.reconciler, rooms=FirstFails(lkapi, seal_of(livekit)))
        await reconciler.sweep()
        served = [len(await dispatched(livekit, each)) for each in rooms]
        await reconciler.sweep()

        assert sorted(served) == [0, 1]
        assert [len(await dispatched(livekit, each)) for each in rooms] == [1, 1]


class FailsFor(LiveKitRooms):
    """LiveKit's rooms, of which one cannot be looked into."""

    broken = ""

    async def participants(self, room: str) -> list[api.ParticipantInfo]:
        """Raise LiveKitAway for the broken room, else return the participants."""
        if room == self.broken:
            raise LiveKitAway
        return await super().participants(room)


async def test_a_room_with_revoked_tokens_that_fails_delays_no_other(
    service: Service, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """A room in which nobody can be removed is tried again, and other rooms are served."""
    await beat(redis)
    other = f"{room}-2"
    for each in (room, other):
        await write(service.reconciler.specs, RoomSpec(room=each, personas=(CHEF,)))
    async with (
        livekit.client() as lkapi,
        joined(livekit, person_token(livekit, room)),
        joined(livekit, person_token(livekit, other)),
    ):
        await service.tokens.revoke(room, ["taken-back"])
        rooms = FailsFor(lkapi, seal_of(livekit))
        rooms.broken = room
        tokens = replace(service.tokens, rooms=rooms)
        await replace(service.reconciler, rooms=rooms, tokens=tokens).sweep()

        assert len(await dispatched(livekit, other)) == 1


async def test_the_log_has_livekits_own_words_of_an_error(
    replica: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason that LiveKit gives for an error is in the log's field `livekit`."""
    stopping = asyncio.Event()

    async def fail(*_: object) -> None:
        stopping.set()
        raise api.ServerError("unavailable", "dial tcp: connection refused", status=503)

    monkeypatch.setattr(RoomService, "list_rooms", fail)
    with capture_logs() as logged:
        await replica.run(stopping)

    waits = [line for line in logged if line["event"] == "sweep_waits"]
    assert {line["livekit"] for line in waits} == {"dial tcp: connection refused"}
