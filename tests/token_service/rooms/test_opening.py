"""Sessions are opened once, and where a place is free, or in their turn."""

import asyncio

import httpx
from redis.asyncio import Redis

from harness.servers import LiveKit
from tests.token_service.players import (
    beat,
    dispatched,
    eventually,
    joined,
    look,
    opened,
)
from token_service.fleet.reader import FleetReader


async def test_started_twice_is_one_session(
    http: httpx.AsyncClient, redis: Redis, room: str
) -> None:
    """The same room and identity, five times at once: one session, one place, five tokens."""
    await beat(redis, slots_free=1, slots_used=5)
    asked = {"room": room, "identity": "ann"}
    answers = await asyncio.gather(*(http.post("/sessions", json=asked) for _ in range(5)))
    said = [answer.json() for answer in answers]

    assert [answer.status_code for answer in answers] == [201] * 5
    assert len({each["id"] for each in said}) == 1
    assert len({each["token_id"] for each in said}) == 5


async def test_the_last_place_goes_to_one(http: httpx.AsyncClient, redis: Redis) -> None:
    """Two sessions at once for the last slot: one is opened, one is told when to come back."""
    await beat(redis, slots_free=1, slots_used=5)
    answers = await asyncio.gather(*(http.post("/sessions") for _ in range(2)))
    loser = max(answers, key=lambda answer: answer.status_code)

    assert sorted(answer.status_code for answer in answers) == [201, 503]
    assert (loser.headers["retry-after"], loser.json()["error"]) == ("15", "full")


async def test_a_place_is_held_for_who_opened(http: httpx.AsyncClient, redis: Redis) -> None:
    """A token that comes after the session gets no slot that is held for it."""
    await beat(redis, slots_free=1, slots_used=5)
    await opened(http)
    answer = await http.post("/token")

    assert (answer.status_code, answer.json()["error"]) == (503, "full")


async def test_who_waits_goes_live_by_itself(
    http: httpx.AsyncClient, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """With `wait` a full house is a place in the line; a slot that gets free is the dispatch."""
    await beat(redis, slots_free=0, slots_used=6)
    said = await opened(http, room=room, wait=True)
    async with joined(livekit, said["participant_token"]):

        async def waits() -> bool:
            return room in (await FleetReader(redis).fleet()).schedule.queue

        await eventually(waits, "the room is in the line")
        newcomer = await http.post("/sessions")
        waiting = await look(http, said["id"])
        await beat(redis, slots_free=1, slots_used=5)

        async def has_dispatch() -> bool:
            return bool(await dispatched(livekit, room))

        await eventually(has_dispatch, "the room got its host")
        starting = await look(http, said["id"])

    assert (said["state"], said["waiting"]["code"], said["waiting"]["position"]) == (
        "waiting",
        "full",
        1,
    )
    assert newcomer.status_code == 503
    assert (waiting["state"], waiting["waiting"]["code"]) == ("waiting", "full")
    assert (starting["state"], starting["waiting"]) == ("starting", None)


async def test_nobody_waits_for_what_cannot_be(http: httpx.AsyncClient, redis: Redis) -> None:
    """More personas than any worker has slots are refused, also to who would wait."""
    await beat(redis)
    answer = await http.post("/sessions", json={"personas": ["chef"] * 7, "wait": True})

    assert (answer.status_code, answer.json()["error"]) == (503, "too_many_personas")
