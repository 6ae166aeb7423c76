"""What tests of rooms share: whom to ask for, and when all have come or gone."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
from redis.asyncio import Redis

from harness.person import WITHIN_S, Person, eventually
from harness.stack import Stack
from protocol import wire
from protocol.room_spec import RoomSpec, spec_key

PORTER = {"name": "porter", "label": "Porter", "prompt": "You are a night porter."}
SIX = ("assistant", "astronaut", "chef", "customer_service", "teacher", PORTER)


def asking_for(*personas: str | dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A token request for these personas, by name or whole, in LiveKit's standard form."""
    agent = {"agent_name": "moshi", "metadata": json.dumps({"personas": list(personas)})}
    return {"room_config": {"agents": [agent]}} | fields


async def in_talk(somebody: Person, personas: int = 1) -> None:
    """Wait until the personas are there and listen."""
    await eventually(lambda: len(somebody.personas) == personas, "the personas join")
    await eventually(
        lambda: all(
            p.attributes.get(wire.ATTR_AGENT_STATE) in ("listening", "speaking")
            for p in somebody.personas
        ),
        "the personas listen",
    )


async def slots_used(stack: Stack) -> int:
    """Slots taken, as the service's readers of heartbeats see it."""
    async with httpx.AsyncClient(trust_env=False) as http:
        return int((await http.get(stack.worker_url)).json()["slots_used"])


async def all_free(stack: Stack) -> None:
    """Wait until nobody holds a slot, so that tests do not meet."""
    deadline_s = time.monotonic() + WITHIN_S
    while await slots_used(stack):
        assert time.monotonic() < deadline_s, "slots are still taken"
        await asyncio.sleep(0.05)


async def change_promise(stack: Stack, room: str, change: Callable[[RoomSpec], RoomSpec]) -> None:
    """Change what a room is promised, as the token service does."""
    async with Redis.from_url(stack.redis_url) as redis:
        spec = RoomSpec.from_metadata((await redis.get(spec_key(room))).decode())
        await redis.set(spec_key(room), change(spec).model_dump_json())
