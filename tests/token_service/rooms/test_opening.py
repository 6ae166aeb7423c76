"""Opening sessions: once for a room and identity, and with a free slot or in the queue."""

import asyncio

import httpx
from livekit import api
from redis.asyncio import Redis

from harness.servers import LiveKit
from tests.token_service.players import (
    beat,
    dispatched,
    eventually,
    joined,
    look,
    opened,
    persona_token,
)
from token_service.fleet.reader import FleetReader


async def test_a_session_is_opened_once(http: httpx.AsyncClient, redis: Redis, room: str) -> None:
    """Requests for one room and identity at once open one session and get a token each."""
    await beat(redis, slots_free=1, slots_used=5)
    asked = {"room": room, "identity": "ann"}
    answers = await asyncio.gather(*(http.post("/sessions", json=asked) for _ in range(5)))
    said = [answer.json() for answer in answers]

    assert [answer.status_code for answer in answers] == [201] * 5
    assert len({each["id"] for each in said}) == 1
    assert len({each["token_id"] for each in said}) == 5


async def test_the_last_slot_goes_to_one_session(http: httpx.AsyncClient, redis: Redis) -> None:
    """One of two sessions that ask for the last slot at once is refused with `full`."""
    await beat(redis, slots_free=1, slots_used=5)
    answers = await asyncio.gather(*(http.post("/sessions") for _ in range(2)))
    loser = max(answers, key=lambda answer: answer.status_code)

    assert sorted(answer.status_code for answer in answers) == [201, 503]
    assert (loser.headers["retry-after"], loser.json()["error"]) == ("15", "full")


async def test_an_open_sessions_slots_are_reserved(http: httpx.AsyncClient, redis: Redis) -> None:
    """A session's slots are reserved, so a token for another room is refused."""
    await beat(redis, slots_free=1, slots_used=5)
    await opened(http)
    answer = await http.post("/token")

    assert (answer.status_code, answer.json()["error"]) == (503, "full")


async def test_a_waiting_session_is_dispatched_when_a_slot_gets_free(
    http: httpx.AsyncClient, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """With `wait` a session waits in the queue, and is dispatched when a slot gets free."""
    await beat(redis, slots_free=0, slots_used=6)
    said = await opened(http, room=room, wait=True)
    async with joined(livekit, said["participant_token"]):

        async def waits() -> bool:
            return room in (await FleetReader(redis).fleet()).schedule.queue

        await eventually(waits, "the room is in the queue")
        later = await http.post("/sessions")
        waiting = await look(http, said["id"])
        await beat(redis, slots_free=1, slots_used=5)
        await eventually(lambda: dispatched(livekit, room), "the room got its host")
        starting = await look(http, said["id"])

    assert (said["state"], said["waiting"]["code"], said["waiting"]["position"]) == (
        "waiting",
        "full",
        1,
    )
    assert later.status_code == 503
    assert (waiting["state"], waiting["waiting"]["code"]) == ("waiting", "full")
    assert (starting["state"], starting["waiting"]) == ("starting", None)


async def test_waiting_for_more_slots_than_a_worker_has_is_refused(
    http: httpx.AsyncClient, redis: Redis
) -> None:
    """More personas than any worker has slots are refused, even with `wait`."""
    await beat(redis)
    answer = await http.post("/sessions", json={"personas": ["chef"] * 7, "wait": True})

    assert (answer.status_code, answer.json()["error"]) == (503, "too_many_personas")


async def test_an_empty_rooms_session_is_open_in_the_list_too(
    http: httpx.AsyncClient, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """A session is listed as `open` until a person is there: a room or an agent alone are none."""
    await beat(redis)
    said = await opened(http, room=room)
    agent = persona_token(livekit, room, "foreign", "listening")
    states: list[str] = []
    async with livekit.client() as lkapi:
        await lkapi.room.create_room(api.CreateRoomRequest(name=room))
        states.append(await listed_state(http, room))
        async with joined(livekit, agent):
            states.append(await listed_state(http, room))
        viewed = (await look(http, said["id"]))["state"]
    async with joined(livekit, said["participant_token"]):
        states.append(await listed_state(http, room))

    assert (states, viewed) == (["open", "open", "starting"], "open")


async def listed_state(http: httpx.AsyncClient, room: str) -> str:
    """Return the state of a room's session as the list shows it."""
    [session] = (await http.get("/sessions", params={"room": room})).json()
    return session["state"]
