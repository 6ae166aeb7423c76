"""Rooms that LiveKit was asked to bring us into, without our token endpoint; in a real LiveKit."""

import json
import time
from typing import Any

import pytest
from livekit import api
from redis.asyncio import Redis

from harness.servers import LiveKit
from tests.token_service.players import beat, dispatched, joined, spec_of
from token_service.auth.grants import person_grant
from token_service.rooms.dispatch_import import OWNER
from token_service.rooms.livekit import ANSWER_S
from token_service.rooms.reconciler import Reconciler

CHEF = '{"persona": "chef"}'


def asking_token(livekit: LiveKit, room: str, *metadata: str, agent: str = "moshi") -> str:
    """A token whose room configuration asks for agents, as LiveKit's own starters mint it."""
    agents = [api.RoomAgentDispatch(agent_name=agent, metadata=each) for each in metadata]
    token = api.AccessToken(livekit.api_key, livekit.api_secret).with_identity("ann")
    token = token.with_grants(person_grant(room))
    return token.with_room_config(api.RoomConfiguration(agents=agents)).to_jwt()


async def promised_names(redis: Redis, room: str) -> list[str]:
    """The personas that a room was promised."""
    return [persona.name for persona in (await spec_of(redis, room)).personas]


async def test_a_tokens_room_configuration_is_a_wish(
    dispatcher: Reconciler, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """Somebody joins with a token that asks LiveKit for us: the room gets the persona it named."""
    await beat(redis)
    async with joined(livekit, asking_token(livekit, room, CHEF)):
        await dispatcher.reconcile(room)

        (dispatch,) = await dispatched(livekit, room)
        assert [persona.name for persona in dispatch.personas] == ["chef"]
        assert dispatch.generation == 1


async def test_several_agents_asked_for_are_several_personas(
    dispatcher: Reconciler, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """Each entry of the configuration names personas; one without metadata, the default one."""
    await beat(redis)
    async with joined(livekit, asking_token(livekit, room, CHEF, "")):
        await dispatcher.reconcile(room)

    assert sorted(await promised_names(redis, room)) == ["assistant", "chef"]


async def test_a_later_dispatch_is_found(
    dispatcher: Reconciler, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """A dispatch made into a room that has people already is found by the sweep."""
    await beat(redis)
    async with joined(livekit, asking_token(livekit, room)), livekit.client() as lkapi:
        await dispatcher.sweep()
        request = api.CreateAgentDispatchRequest(agent_name="moshi", room=room, metadata=CHEF)
        await lkapi.agent_dispatch.create_dispatch(request)
        dispatcher.dispatch_import.look_at_s.clear()  # ten seconds later
        await dispatcher.sweep()

    assert await promised_names(redis, room) == ["chef"]


async def test_rooms_that_ended_meanwhile_delay_a_sweep_once(
    dispatcher: Reconciler, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """LiveKit hangs when asked about a room that is nowhere; of many, only for as long as of one.

    The next room is found anyway.
    """
    await beat(redis)
    ended = [f"{room} that ended, {number}" for number in range(4)]
    async with joined(livekit, asking_token(livekit, room, CHEF)):
        begun_s = time.monotonic()
        found = await dispatcher.dispatch_import.found([*ended, room])

    assert found == [room]
    assert time.monotonic() - begun_s < 2 * ANSWER_S


async def test_a_room_is_adopted_once(
    dispatcher: Reconciler, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """The promise stands; the wish is not read again."""
    await beat(redis)
    async with joined(livekit, asking_token(livekit, room, CHEF)):
        await dispatcher.reconcile(room)
        first = await spec_of(redis, room)
        dispatcher.dispatch_import.look_at_s.clear()
        await dispatcher.sweep()
        await dispatcher.reconcile(room)

        assert await spec_of(redis, room) == first
        assert len(await dispatched(livekit, room)) == 1


async def test_an_adopted_room_is_no_callers(
    dispatcher: Reconciler, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """It belongs to who has LiveKit's key: our endpoint lets nobody else into it."""
    await beat(redis)
    async with joined(livekit, asking_token(livekit, room, CHEF)):
        await dispatcher.reconcile(room)

    assert (await spec_of(redis, room)).owner == OWNER


@pytest.mark.parametrize("metadata", ['{"persona": "nobody"}', "not JSON"])
async def test_a_wish_that_cannot_be_met_is_left(
    dispatcher: Reconciler, redis: Redis, livekit: LiveKit, room: str, metadata: str
) -> None:
    """Metadata that our endpoint would refuse brings nobody, and the sweep asks no more."""
    await beat(redis)
    async with joined(livekit, asking_token(livekit, room, metadata)):
        await dispatcher.sweep()

        assert await dispatched(livekit, room) == []
        assert await dispatcher.specs.read(room) is None
        assert dispatcher.dispatch_import.look_at_s[room] == float("inf")


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
async def test_a_wish_is_for_personas_alone(
    dispatcher: Reconciler, redis: Redis, livekit: LiveKit, room: str, more: dict[str, Any]
) -> None:
    """A client's own dispatch decides about no room, generation, owner, worker, id, line, mute."""
    await beat(redis)
    metadata = json.dumps({"personas": ["chef"]} | more)
    async with joined(livekit, asking_token(livekit, room, metadata)):
        await dispatcher.sweep()
        await dispatcher.reconcile(room)

        assert await dispatched(livekit, room) == []
        assert await dispatcher.specs.of([room, "victim"]) == []


async def test_another_agents_room_is_none_of_ours(
    dispatcher: Reconciler, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """Who asks LiveKit for somebody else gets nobody from us."""
    await beat(redis)
    async with joined(livekit, asking_token(livekit, room, "", agent="other")):
        await dispatcher.sweep()
        await dispatcher.reconcile(room)

    assert await dispatcher.specs.read(room) is None
