"""Rooms whose agents LiveKit was asked for without our token endpoint; in a real LiveKit."""

import json
import time
from typing import Any

import pytest
from livekit import api
from redis.asyncio import Redis

from harness.servers import LiveKit
from tests.token_service.players import asking, beat, dispatched, spec_of
from token_service.rooms.dispatch_import import OWNER
from token_service.rooms.livekit import ANSWER_S
from token_service.rooms.reconciler import Reconciler

CHEF = '{"persona": "chef"}'


async def persona_names(redis: Redis, room: str) -> list[str]:
    """Return the names of the personas in a room's spec."""
    return [persona.name for persona in (await spec_of(redis, room)).personas]


async def test_a_tokens_room_configuration_is_imported(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """A person whose token asks LiveKit for our agent gets the persona that the token names."""
    await beat(redis)
    async with asking(livekit, room, CHEF):
        await reconciler.reconcile(room)

        (dispatch,) = await dispatched(livekit, room)
        assert [persona.name for persona in dispatch.personas] == ["chef"]
        assert dispatch.generation == 1


async def test_several_agents_asked_for_are_several_personas(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """Each entry of the configuration names personas; one without metadata means the default."""
    await beat(redis)
    async with asking(livekit, room, CHEF, ""):
        await reconciler.reconcile(room)

    assert sorted(await persona_names(redis, room)) == ["assistant", "chef"]


async def test_a_later_dispatch_is_found(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """A dispatch into a room that already has people is found by a sweep."""
    await beat(redis)
    async with asking(livekit, room), livekit.client() as lkapi:
        await reconciler.sweep()
        request = api.CreateAgentDispatchRequest(agent_name="moshi", room=room, metadata=CHEF)
        await lkapi.agent_dispatch.create_dispatch(request)
        reconciler.dispatch_import.look_at_s.clear()  # as ten seconds later
        await reconciler.sweep()

    assert await persona_names(redis, room) == ["chef"]


async def test_rooms_that_ended_meanwhile_delay_a_sweep_once(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """Rooms that ended delay a look-up by one time-out together, and the next room is found."""
    await beat(redis)
    ended = [f"{room} that ended, {number}" for number in range(4)]
    async with asking(livekit, room, CHEF):
        begun_s = time.monotonic()
        found = await reconciler.dispatch_import.found([*ended, room])

    assert found == [room]
    assert time.monotonic() - begun_s < 2 * ANSWER_S


async def test_a_room_is_imported_once(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """An imported room's dispatches are not read again: its spec and its dispatch stay."""
    await beat(redis)
    async with asking(livekit, room, CHEF):
        await reconciler.reconcile(room)
        first = await spec_of(redis, room)
        reconciler.dispatch_import.look_at_s.clear()
        await reconciler.sweep()
        await reconciler.reconcile(room)

        assert await spec_of(redis, room) == first
        assert len(await dispatched(livekit, room)) == 1


async def test_an_imported_room_is_no_callers(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """An imported room is owned by the holder of LiveKit's key, and by no caller."""
    await beat(redis)
    async with asking(livekit, room, CHEF):
        await reconciler.reconcile(room)

    assert (await spec_of(redis, room)).owner == OWNER


@pytest.mark.parametrize(
    "metadata",
    ['{"persona": "nobody"}', "not JSON", '{"persona": {"name": "chef", "voice": "nobody"}}'],
)
async def test_invalid_metadata_is_not_imported(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, room: str, metadata: str
) -> None:
    """Metadata that our endpoint would refuse makes no dispatch and is not read again."""
    await beat(redis, voices=["NATF0"])
    async with asking(livekit, room, metadata):
        await reconciler.sweep()

        assert await dispatched(livekit, room) == []
        assert await reconciler.specs.read(room) is None
        assert reconciler.dispatch_import.look_at_s[room] == float("inf")


@pytest.mark.parametrize(
    "more",
    [
        {"room": "victim"},
        {"generation": 999_999},
        {"owner": "key:shop"},
        {"worker": "worker"},
        {"personas": [{"name": "chef", "id": "p0"}]},
        {"personas": [{"name": "chef", "say": [{"id": "a", "text": "Dinner."}]}]},
        {"personas": [{"name": "chef", "muted": True}]},
    ],
)
async def test_only_personas_are_imported(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, room: str, more: dict[str, Any]
) -> None:
    """A client's dispatch with any field but personas, or with fields of a spec, is refused."""
    await beat(redis)
    metadata = json.dumps({"personas": ["chef"]} | more)
    async with asking(livekit, room, metadata):
        await reconciler.sweep()
        await reconciler.reconcile(room)

        assert await dispatched(livekit, room) == []
        assert await reconciler.specs.of([room, "victim"]) == []


async def test_another_agents_room_is_not_imported(
    reconciler: Reconciler, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """A dispatch of another agent's name makes no spec."""
    await beat(redis)
    async with asking(livekit, room, "", agent="other"):
        await reconciler.sweep()
        await reconciler.reconcile(room)

    assert await reconciler.specs.read(room) is None
