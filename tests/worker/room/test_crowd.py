"""Fourteen personas in one room, the most that a room may have."""

import asyncio
import time

from livekit import api

from harness.census import held_by_worker
from harness.person import WITHIN_S, eventually, person
from harness.rooms import all_free, asking_for, change_spec, in_talk, slots_used
from harness.stack import Stack
from protocol.personas import PERSONAS_PER_ROOM
from protocol.room_spec import RoomSpec, fresh_id


async def visit(stack: Stack, personas: int) -> tuple[str, float]:
    """Join a room with so many personas and leave; return its name and how long joining took."""
    begun_s = time.monotonic()
    async with person(stack.url, asking_for(*["chef"] * personas)) as ann:
        await in_talk(ann, personas)
        joined_s = time.monotonic() - begun_s
        await eventually(lambda: len(ann.heard) == personas, "each voice is heard")
        assert await slots_used(stack) == personas
        room = ann.room.name
    await all_free(stack)
    return room, joined_s


async def becomes_empty(stack: Stack, room: str) -> None:
    """Wait until LiveKit lists no participant of a room."""
    async with asyncio.timeout(WITHIN_S), stack.livekit.client() as livekit:
        asking = api.ListParticipantsRequest(room=room)
        while (await livekit.room.list_participants(asking)).participants:  # noqa: ASYNC110 - it sends no event
            await asyncio.sleep(0.05)


async def test_fourteen_personas_leave_no_resources_behind(
    roomy: Stack, measured: list[str]
) -> None:
    """When fourteen personas have left, so have their threads, descriptors and participants."""
    await visit(roomy, 2)  # lets the worker start what it keeps
    before = held_by_worker(roomy)
    room, joined_s = await visit(roomy, PERSONAS_PER_ROOM)
    measured.append(f"{PERSONAS_PER_ROOM} personas were there after {joined_s:.1f} s")

    def as_before() -> bool:
        now = held_by_worker(roomy)
        return now.threads <= before.threads and now.descriptors <= before.descriptors

    await eventually(as_before, f"threads and descriptors as before, {before}")
    await becomes_empty(roomy, room)
    log = (roomy.folder / "worker.log").read_text()

    assert "was destroyed but it is pending" not in log  # asyncio's word for a task left behind
    assert "never retrieved" not in log


async def test_personas_that_are_joining_leave_when_the_session_ends(roomy: Stack) -> None:
    """A session that ends while personas join frees their slots, too.

    The host once left without them, and their slots stayed taken as long as the worker lived.
    """

    def many_more(old: RoomSpec) -> RoomSpec:
        ids = [fresh_id() for _ in range(PERSONAS_PER_ROOM - 1)]
        newcomers = [old.personas[0].model_copy(update={"id": each}) for each in ids]
        return old.model_copy(update={"personas": (*old.personas, *newcomers)})

    def ended(old: RoomSpec) -> RoomSpec:
        return old.model_copy(update={"ended": True, "ended_s": time.time()})

    async with person(roomy.url, asking_for("chef")) as ann:
        await in_talk(ann)
        room = ann.room.name
        await change_spec(roomy, room, many_more)
        await eventually(lambda: len(ann.personas) > 1, "the first of many is there")
        await change_spec(roomy, room, ended)
        await eventually(lambda: not ann.room.isconnected(), "the room ends")
    await all_free(roomy)
    await becomes_empty(roomy, room)
