"""Fourteen personas in one room, the most there may be: they come, and leave nothing behind."""

import asyncio
import time

from livekit import api

from harness.census import census
from harness.person import WITHIN_S, eventually, person
from harness.stack import Stack
from protocol.personas import PERSONAS_PER_ROOM
from protocol.room_spec import RoomSpec, fresh_id
from tests.worker.rooms import all_free, asking_for, change_promise, in_talk, slots_used


async def visit(stack: Stack, personas: int) -> tuple[str, float]:
    """Somebody meets so many personas and leaves; the room, and how long all took to be there."""
    begun_s = time.monotonic()
    async with person(stack.url, asking_for(*["chef"] * personas)) as ann:
        await in_talk(ann, personas)
        there_s = time.monotonic() - begun_s
        await eventually(lambda: len(ann.heard) == personas, "each voice is heard")
        assert await slots_used(stack) == personas
        room = ann.room.name
    await all_free(stack)
    return room, there_s


async def nobody_in(stack: Stack, room: str) -> None:
    """Wait until LiveKit knows of nobody in a room."""
    async with asyncio.timeout(WITHIN_S), stack.livekit.client() as livekit:
        asking = api.ListParticipantsRequest(room=room)
        while (await livekit.room.list_participants(asking)).participants:  # noqa: ASYNC110 - it sends no event
            await asyncio.sleep(0.05)


async def test_fourteen_come_and_go(roomy: Stack, measured: list[str]) -> None:
    """Fourteen join one room; when they have left, no thread, descriptor or participant is left."""
    await visit(roomy, 2)  # what a process starts once and keeps
    before = census(roomy)["worker"]
    room, there_s = await visit(roomy, PERSONAS_PER_ROOM)
    measured.append(f"{PERSONAS_PER_ROOM} personas were there after {there_s:.1f} s")

    def nothing_more() -> bool:
        now = census(roomy)["worker"]
        return now.threads <= before.threads and now.descriptors <= before.descriptors

    await eventually(nothing_more, f"threads and descriptors as before, {before}")
    await nobody_in(roomy, room)
    log = (roomy.folder / "worker.log").read_text()

    assert there_s < WITHIN_S
    assert "was destroyed but it is pending" not in log  # asyncio's word for a task left behind
    assert "never retrieved" not in log


async def test_who_is_on_the_way_leaves_too(roomy: Stack) -> None:
    """A session that ends while personas join ends for them as well: no slot is kept for nobody.

    The host had left without them: their slots stayed taken for as long as the worker lived.
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
        await change_promise(roomy, room, many_more)
        await eventually(lambda: len(ann.personas) > 1, "the first of many is there")
        await change_promise(roomy, room, ended)
        await eventually(lambda: not ann.room.isconnected(), "the room ends")
    await all_free(roomy)
    await nobody_in(roomy, room)
