"""Moves in a real LiveKit, with workers as their heartbeats: begun, finished, given up."""

from collections.abc import AsyncGenerator
from concurrent.futures import Future
from dataclasses import replace

import httpx
import pytest
from livekit import api
from redis.asyncio import Redis

from harness.servers import LiveKit
from protocol.commands import TAKEN, Answer, Command
from protocol.personas import Persona
from protocol.room_spec import RoomSpec
from tests.token_service.players import (
    agent_token,
    beat,
    die,
    dispatched,
    failures_of,
    hosting,
    identities,
    joined,
    opened,
    person_token,
    spec_of,
    stop_waiting,
    write,
)
from token_service.fleet.pulse import LATE_S, Pulse
from token_service.fleet.reader import FleetReader
from token_service.refusals import LiveKitAway, Refused
from token_service.rooms.livekit import LiveKitRooms
from token_service.rooms.moves import MOVES_AT_ONCE
from token_service.rooms.reconciler import Reconciler
from token_service.service import Service

CHEF = Persona(name="chef", label="Chef")


@pytest.fixture
async def spec(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, room: str
) -> AsyncGenerator[RoomSpec]:
    """Join as ann a room that `old` hosts, beside the idle worker `new`; return its spec."""
    spec = RoomSpec(room=room, personas=(CHEF,), generation=1, worker="old")
    await write(reconciler.specs, spec)
    await beat(redis, "old", hosts={room: 1})
    await beat(redis, "new")
    async with joined(livekit, person_token(livekit, room)):
        yield spec


async def refusal(service: Service, room: str) -> str:
    """Ask for a move that is refused; return the code."""
    with pytest.raises(Refused) as refused:
        await service.moves.begin(room)
    return refused.value.code


async def test_a_move_ends_once_the_other_worker_hosts(
    service: Service, reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """The worker `new` becomes the host once its heartbeat says that it hosts, and not before."""
    moving = await service.moves.begin(spec.room)
    again = await refusal(service, spec.room)
    carried = await dispatched(livekit, spec.room)
    await beat(redis, "new", standby={spec.room: 2})
    await reconciler.sweep()
    before = await service.workers.fleet()
    host_before = before.host(moving)
    await beat(redis, "old", left={spec.room: 1})
    await beat(redis, "new", hosts={spec.room: 2})
    host_after = (await service.workers.fleet()).host(moving)
    await reconciler.sweep()

    assert again == "moving"
    assert carried == [moving]
    assert host_before is not None and host_before.worker_id == "old"
    assert before.schedule.room(spec.room).reserved is None  # its heartbeat counts the slots now
    assert host_after is not None and host_after.worker_id == "new"
    assert await spec_of(redis, spec.room) == moving.moved()
    assert (moving.moved().generation, moving.moved().worker) == (2, "new")
    assert await dispatched(livekit, spec.room) == [moving]


async def test_a_missing_heartbeat_after_an_outage_ends_no_move(
    service: Service, reconciler: Reconciler, redis: Redis, spec: RoomSpec
) -> None:
    """A move goes on although the next worker's heartbeat is missing after an outage of redis."""
    moving = await service.moves.begin(spec.room)
    await die(redis, "new")
    now_s = 0.0
    pulse = Pulse(redis, lambda: now_s)
    pulse.answered()
    now_s = LATE_S
    await replace(reconciler, pulse=pulse).sweep()
    waits = await spec_of(redis, spec.room)
    await reconciler.sweep()

    assert waits == moving
    assert (await spec_of(redis, spec.room)).standby == ""


async def test_a_move_whose_host_never_stops_is_given_up(
    service: Service,
    reconciler: Reconciler,
    redis: Redis,
    spec: RoomSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A move whose next host has stood by for a minute is given up, and can be begun again."""
    moving = await service.moves.begin(spec.room)
    await beat(redis, "new", standby={spec.room: 2})
    await reconciler.sweep()
    waits = await spec_of(redis, spec.room)
    monkeypatch.setattr("token_service.rooms.moves.STANDS_BY_MOST_S", 0.0)
    await reconciler.sweep()
    given_up = await spec_of(redis, spec.room)
    again = await service.moves.begin(spec.room)

    assert waits == moving
    assert (given_up.generation, given_up.standby) == (1, "")
    assert (again.standby, again.dispatched) == ("new", 3)


@pytest.mark.parametrize(
    ("outcome", "failures"),
    [("refused", 0), ("failed", 1), ("left", 0), ("lost", 0), ("gone", 0), (None, 1)],
)
async def test_a_move_that_fails_changes_nothing(
    service: Service,
    reconciler: Reconciler,
    redis: Redis,
    spec: RoomSpec,
    outcome: str | None,
    failures: int,
) -> None:
    """A failed move leaves the room at its host, and the next move has another generation."""
    await service.moves.begin(spec.room)
    if outcome == "gone":
        await die(redis, "new")
    elif outcome is None:
        await stop_waiting(reconciler.specs, spec.room)
    else:
        await beat(redis, "new", **{outcome: {spec.room: 2}})
    await reconciler.sweep()
    given_up = await spec_of(redis, spec.room)
    counted = await failures_of(redis, "new")
    await beat(redis, "new")
    moving = await service.moves.begin(spec.room)

    assert (given_up.standby, given_up.generation, given_up.worker) == ("", 1, "old")
    assert counted == failures
    assert moving.dispatched == 3


async def test_a_move_that_livekit_does_not_dispatch_is_no_failure_of_a_worker(
    service: Service, redis: Redis, spec: RoomSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where LiveKit makes no dispatch, the room stays at its host and no worker has failed."""

    async def is_away(*_: object) -> None:
        """Raise LiveKitAway."""
        raise LiveKitAway

    monkeypatch.setattr(LiveKitRooms, "dispatch", is_away)
    code = await refusal(service, spec.room)

    assert code == "livekit_away"
    assert (await spec_of(redis, spec.room)).standby == ""
    assert await failures_of(redis, "new") == 0


async def test_a_host_that_is_lost_while_it_moves_is_removed(
    service: Service, reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """A host lost while it moves is removed, and a third comes only if the next is lost too."""
    await service.moves.begin(spec.room)
    await beat(redis, "new", standby={spec.room: 2})
    async with (
        joined(livekit, agent_token(livekit, spec.room, "agent-old", 1)),
        joined(livekit, agent_token(livekit, spec.room, "agent-new", 2)),
    ):
        await die(redis, "old")
        await reconciler.sweep()
        inside = await identities(livekit, spec.room)
        awaited = await spec_of(redis, spec.room)
        await die(redis, "new")
        await beat(redis, "third")
        await reconciler.sweep()

        assert inside == {"ann", "agent-new"}
        assert (awaited.generation, awaited.standby) == (1, "new")
        assert (await spec_of(redis, spec.room)).generation == 3
        assert await identities(livekit, spec.room) == {"ann"}


async def test_a_move_needs_another_free_worker(
    service: Service, redis: Redis, spec: RoomSpec
) -> None:
    """A move is refused without a free worker of the same model, or without a host."""
    codes: list[str] = []
    for fields in ({"slots_free": 0}, {"model": "another"}, {"state": "loading_model"}):
        await beat(redis, "new", **fields)
        codes.append(await refusal(service, spec.room))
    await die(redis, "new")
    codes.append(await refusal(service, spec.room))
    await die(redis, "old")
    codes.append(await refusal(service, spec.room))

    assert codes == ["no_other_worker"] * 4 + ["not_live"]
    assert await spec_of(redis, spec.room) == spec


async def test_a_room_moves_to_a_worker_that_reads_its_memory(
    service: Service, redis: Redis, spec: RoomSpec
) -> None:
    """A worker with another format of memories gets a room only where the old one drains."""
    await beat(redis, "new", memory_format=2)
    code = await refusal(service, spec.room)
    await beat(redis, "old", hosts={spec.room: 1}, state="draining")
    moving = await service.moves.begin(spec.room)

    assert (code, moving.standby) == ("no_other_worker", "new")


async def test_rooms_of_a_worker_that_drains_move_a_few_at_a_time(
    service: Service, reconciler: Reconciler, redis: Redis, livekit: LiveKit, spec: RoomSpec
) -> None:
    """MOVES_AT_ONCE rooms of a draining worker move at once, and the next when one has moved."""
    rooms = [f"{spec.room}-{n}" for n in range(MOVES_AT_ONCE + 1)]
    async with livekit.client() as lkapi:
        for room in rooms:
            await write(reconciler.specs, spec.model_copy(update={"room": room}))
            await lkapi.room.create_room(api.CreateRoomRequest(name=room))
    here = dict.fromkeys(rooms, 1)
    await beat(redis, "old", state="draining", hosts=here)
    await beat(redis, "new", slots_free=20)

    async def moving() -> list[str]:
        await reconciler.sweep()
        return [room for room in rooms if (await spec_of(redis, room)).standby]

    begun = [await moving(), await moving()]
    moved = begun[0][0]
    await beat(redis, "old", state="draining", hosts=here | {moved: 0})
    await beat(redis, "new", slots_free=20, hosts={moved: 2})
    await moving()
    last = await moving()

    assert begun[0] == begun[1] and len(begun[0]) == MOVES_AT_ONCE
    assert set(last) == {*rooms} - {moved}


async def test_a_session_moves_by_http(
    http: httpx.AsyncClient, redis: Redis, own_redis_url: str, room: str
) -> None:
    """After `POST /sessions/{id}/move` commands and added personas reach the next worker."""
    await beat(redis, "old")
    session = (await opened(http, room=room))["id"]
    spec = (await spec_of(redis, room)).model_copy(update={"generation": 1, "worker": "old"})
    await redis.set(f"moshi:promise:{room}", spec.model_dump_json())
    refused = await http.post(f"/sessions/{session}/move")
    await beat(redis, "old", hosts={room: 1})
    await beat(redis, "worker")
    answer = await http.post(f"/sessions/{session}/move")
    again = await http.post(f"/sessions/{session}/move")
    added = await http.post(f"/sessions/{session}/personas", json={"personas": ["chef"]})
    more = (await FleetReader(redis).fleet()).schedule.room(room).more
    moved = (await spec_of(redis, room)).moved()
    obeyed: list[Command] = []

    def obey(command: Command) -> Future[Answer]:
        obeyed.append(command)
        done: Future[Answer] = Future()
        done.set_result(TAKEN if len(obeyed) > 1 else Answer(refusal="persona_absent"))
        return done

    async with hosting(own_redis_url, moved, obey):
        await beat(redis, "worker", hosts={room: 2})
        line = {"text": "Hello.", "persona_id": moved.personas[0].id}
        said = await http.post(f"/sessions/{session}/say", json=line)
    unknown = await http.post("/sessions/unknown/move")

    assert [each.status_code for each in (refused, answer, again)] == [409, 202, 409]
    assert [refused.json()["error"], again.json()["error"]] == ["not_live", "moving"]
    assert (answer.json()["state"], answer.json()["generation"]) == ("live", 1)
    assert (said.status_code, [each.generation for each in obeyed]) == (202, [2, 2])
    assert (added.status_code, more and more.worker) == (201, "worker")
    assert unknown.json()["error"] == "session_unknown"
