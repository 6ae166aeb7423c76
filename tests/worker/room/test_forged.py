"""A participant's own dispatches: a worker serves only rooms whose spec the token service sealed.

A frontend that copies a client's `room_config` into its token (LiveKit's starters do) lets every
client dispatch any agent name with any metadata into the room that it creates.
"""

from typing import Any
from uuid import uuid4

import pytest
from livekit import api, rtc
from redis.asyncio import Redis

from harness.person import WITHIN_S, Person, eventually, person
from harness.rooms import all_free, asking_for, in_talk
from harness.stack import Stack
from protocol import wire
from protocol.events import events_key
from protocol.heartbeat import Heartbeat, heartbeat_key
from protocol.room_spec import RoomSpec, spec_key
from token_service.auth.grants import person_grant

TONE_HZ = 500.0


def asking_token(stack: Stack, room: str, agent_name: str, metadata: str) -> str:
    """Return a token as such a frontend makes it, with the client's `room_config`."""
    sfu = stack.livekit
    agents = [api.RoomAgentDispatch(agent_name=agent_name, metadata=metadata)]
    token = api.AccessToken(sfu.api_key, sfu.api_secret).with_identity("mallory")
    token = token.with_grants(person_grant(room))
    return token.with_room_config(api.RoomConfiguration(agents=agents)).to_jwt()


async def sealed_metadata(stack: Stack, room: str) -> str:
    """Return the metadata that the token service dispatched into a room."""
    async with stack.livekit.client() as livekit:
        found = await livekit.agent_dispatch.list_dispatch(room)
    [metadata] = [each.metadata for each in found if each.agent_name.startswith(wire.AGENT_NAME)]
    return metadata


async def attack(stack: Stack, redis: Redis, metadata: str) -> None:
    """Create a room whose dispatch names the worker, and wait until the worker refuses the job."""
    [key] = await redis.keys(heartbeat_key("*"))
    worker = Heartbeat.model_validate_json(str(await redis.get(key))).worker_id
    own = f"mallorys-{uuid4().hex}"
    log = stack.folder / "worker.log"

    def refused() -> bool:
        return any("job_refused" in line and own in line for line in log.read_text().splitlines())

    room = rtc.Room()
    await room.connect(
        stack.livekit.url, asking_token(stack, own, wire.agent_name(worker), metadata)
    )
    try:
        await eventually(refused, "the worker refuses", WITHIN_S)
        assert not [each for each in room.remote_participants.values()]
        assert await redis.get(spec_key(own)) is None
    finally:
        await room.disconnect()


async def still_served(ann: Person, identity: str) -> None:
    """Check that the same persona still gives Ann's tone back."""
    ann.heard[identity].clear()
    await eventually(lambda: abs(ann.loudest_hz(identity) - TONE_HZ) < 5.0, "the tone comes back")
    assert [each.identity for each in ann.personas] == [identity]


@pytest.mark.parametrize("forgery", ["unsealed", "changed", "copied"])
async def test_a_clients_own_dispatch_changes_no_other_room(echo: Stack, forgery: str) -> None:
    """A forged dispatch is refused; the victim's host, spec and events stay as they were.

    A spec of generation 999999 for the victim's room once replaced its host.
    """
    async with (
        person(echo.url, asking_for("chef")) as ann,
        Redis.from_url(echo.redis_url, decode_responses=True) as redis,
    ):
        await in_talk(ann)
        victim, identity = ann.room.name, ann.personas[0].identity
        ann.tone_hz = TONE_HZ
        before = str(await redis.get(spec_key(victim)))
        events = await redis.xlen(events_key(victim))
        own = RoomSpec.from_metadata(before)
        forged = own.model_copy(update={"generation": 999_999, "owner": "mallory"}).metadata()
        sealed = await sealed_metadata(echo, victim)
        metadata = {
            "unsealed": forged,
            "changed": f"{sealed.partition(' ')[0]} {forged}",
            "copied": sealed,
        }[forgery]
        await attack(echo, redis, metadata)
        await still_served(ann, identity)

        assert await redis.get(spec_key(victim)) == before
        entries: Any = await redis.xrange(events_key(victim))
        assert not [entry for entry in entries[events:] if "mallory" in str(entry)]
    await all_free(echo)
