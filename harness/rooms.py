"""Rooms for tests and benchmarks: token requests, waits for personas, specs and events in redis."""

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
from protocol.events import EVENT_FIELD, Event, events_key, read_event
from protocol.room_spec import RoomSpec, spec_key

PORTER = {"name": "porter", "label": "Porter", "prompt": "You are a night porter."}
SIX = ("assistant", "astronaut", "chef", "customer_service", "teacher", PORTER)


def asking_for(*personas: str | dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a token request for personas, by name or as objects, in LiveKit's standard form."""
    agent = {"agent_name": "moshi", "metadata": json.dumps({"personas": list(personas)})}
    return {"room_config": {"agents": [agent]}} | fields


async def in_talk(someone: Person, personas: int = 1) -> None:
    """Wait until the personas have joined and listen."""
    await eventually(lambda: len(someone.personas) == personas, "the personas join")
    await eventually(
        lambda: all(
            p.attributes.get(wire.ATTR_AGENT_STATE) in ("listening", "speaking")
            for p in someone.personas
        ),
        "the personas listen",
    )


async def slots_used(stack: Stack) -> int:
    """Return how many slots of the worker are occupied."""
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        return int((await http.get(stack.worker_url)).json()["slots_used"])


async def all_free(stack: Stack) -> None:
    """Wait until all slots are free, so that tests do not affect each other."""
    deadline_s = time.monotonic() + WITHIN_S
    while await slots_used(stack):
        assert time.monotonic() < deadline_s, "slots are still taken"
        await asyncio.sleep(0.05)


async def change_spec(stack: Stack, room: str, change: Callable[[RoomSpec], RoomSpec]) -> None:
    """Change a room's spec in redis, as the token service does."""
    async with Redis.from_url(stack.redis_url) as redis:
        written: Any = await redis.get(spec_key(room))
        spec = RoomSpec.from_metadata(written.decode())
        await redis.set(spec_key(room), change(spec).model_dump_json())


async def room_events(stack: Stack, room: str) -> list[Event]:
    """Return every event of a room so far."""
    async with Redis.from_url(stack.redis_url) as redis:
        entries = await redis.xrange(events_key(room))
    return [read_event(dict(fields or {})[EVENT_FIELD.encode()]) for _, fields in entries or ()]
