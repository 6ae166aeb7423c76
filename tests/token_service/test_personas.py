"""A session's personas over HTTP: each call is a change of the promise, and an event."""

from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from protocol.events import ChangedEvent
from protocol.promise import Promise
from tests.token_service.players import beat
from token_service.events import Events
from token_service.promises import Promises


class Session:
    """One that is open, with a chef and a teacher, and a worker of six slots."""

    def __init__(self, http: httpx.AsyncClient, redis: Redis, said: dict[str, Any]) -> None:
        self.http, self.redis = http, redis
        self.path, self.room = f"/sessions/{said['id']}", said["room"]
        self.chef, self.teacher = (persona["id"] for persona in said["personas"])

    async def post(self, path: str, **asked: Any) -> httpx.Response:
        """Ask for a change."""
        return await self.http.post(f"{self.path}/{path}", json=asked)

    async def promise(self) -> Promise:
        """What the host reads."""
        promise = await Promises(self.redis, 600).read(self.room)
        assert promise is not None
        return promise

    async def changes(self) -> list[tuple[str, str]]:
        """The changes that the events tell."""
        return [
            (event.change, event.persona_id)
            for event in await Events(self.redis).so_far(self.room)
            if isinstance(event, ChangedEvent)
        ]


@pytest.fixture
async def session(http: httpx.AsyncClient, redis: Redis) -> Session:
    """A session that nobody has come to yet."""
    await beat(redis)
    answer = await http.post("/sessions", json={"personas": ["chef", "teacher"]})
    return Session(http, redis, answer.json())


async def test_personas_are_added(session: Session) -> None:
    """The others keep their ids, and no new host is needed."""
    answer = await session.post("personas", personas=["astronaut"])
    promise = await session.promise()
    newcomer = answer.json()[0]

    assert (answer.status_code, newcomer["name"], newcomer["state"]) == (201, "astronaut", "absent")
    assert [each.id for each in promise.personas] == [
        session.chef,
        session.teacher,
        newcomer["id"],
    ]
    assert promise.generation == 0
    assert await session.changes() == [("added", newcomer["id"])]


async def test_a_newcomer_needs_a_place(session: Session) -> None:
    """Where no slot is free nothing changes, whether the host is there or still to come."""
    await beat(session.redis, slots_free=2, slots_used=4)
    before = await session.post("personas", personas=["astronaut"])
    await beat(session.redis, slots_free=0, slots_used=6, hosts={session.room: 0})
    live = await session.post("personas", personas=["astronaut"])

    assert [each.json()["error"] for each in (before, live)] == ["full", "full"]
    assert len((await session.promise()).personas) == 2


async def test_newcomers_do_not_take_each_others_place(session: Session) -> None:
    """One slot is left beside the host: of two newcomers, one after the other, one gets it."""
    await beat(session.redis, slots_free=1, slots_used=5, hosts={session.room: 0})
    answers = [await session.post("personas", personas=["astronaut"]) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 503]


async def test_a_room_has_at_most_fourteen(session: Session) -> None:
    """The fifteenth is refused."""
    await beat(session.redis, slots_free=64)
    answer = await session.post("personas", personas=["chef"] * 13)

    assert (answer.status_code, answer.json()["error"]) == (409, "too_many_personas")


async def test_a_voice_that_nobody_has_is_refused(session: Session) -> None:
    """Newcomers' voices are checked as the first ones' were."""
    await beat(session.redis, voices=("anna", "ben"))
    answer = await session.post("personas", personas=[{"name": "chef", "voice": "zoe"}])

    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        "persona.voice='zoe': choices: anna, ben",
    )


async def test_a_persona_is_removed(session: Session) -> None:
    """The rest stays as it was."""
    answer = await session.http.delete(f"{session.path}/personas/{session.chef}")

    assert answer.status_code == 204
    assert [each.id for each in (await session.promise()).personas] == [session.teacher]
    assert await session.changes() == [("removed", session.chef)]


async def test_the_last_persona_stays(session: Session) -> None:
    """A session without personas is none: it is to be ended."""
    await session.http.delete(f"{session.path}/personas/{session.chef}")
    answer = await session.http.delete(f"{session.path}/personas/{session.teacher}")

    assert (answer.status_code, answer.json()["error"]) == (409, "last_persona")


async def test_a_line_is_said(session: Session) -> None:
    """The promise holds the line with its own id; unseen characters are gone."""
    answer = await session.post("say", persona_id=session.chef, text="Hello\x07 there.")
    chef, teacher = (await session.promise()).personas

    assert answer.status_code == 202
    assert answer.json() == {"id": chef.say[0].id, "persona_id": session.chef}
    assert ([line.text for line in chef.say], teacher.say) == (["Hello there."], ())
    assert await session.changes() == [("say", session.chef)]


async def test_the_last_lines_are_kept(session: Session) -> None:
    """Of ten lines in a row eight wait to be said, each with an id of its own."""
    for number in range(10):
        await session.post("say", persona_id=session.chef, text=str(number))
    lines = (await session.promise()).personas[0].say

    assert [line.text for line in lines] == list("23456789")
    assert len({line.id for line in lines}) == 8


async def test_a_line_needs_a_speaker(session: Session) -> None:
    """With two personas one must be named; with one it is clear."""
    nobody = await session.post("say", text="Hello.")
    await session.http.delete(f"{session.path}/personas/{session.chef}")
    clear = await session.post("say", text="Hello.")

    assert (nobody.status_code, nobody.json()["error"]) == (404, "persona_unknown")
    assert (clear.status_code, clear.json()["persona_id"]) == (202, session.teacher)


@pytest.mark.parametrize("text", ["", "\x00", "x" * 501])
async def test_no_line_and_too_long_a_line_are_refused(session: Session, text: str) -> None:
    """A line has between 1 and 500 characters that can be seen."""
    answer = await session.post("say", persona_id=session.chef, text=text)

    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("text: ")


async def test_a_memory_is_made_fresh(session: Session) -> None:
    """Each time the counter grows; without a name, everybody's."""
    await session.post("forget", persona_id=session.chef)
    answer = await session.post("forget")

    assert [each["forget"] for each in answer.json()] == [2, 1]
    assert [each.forget for each in (await session.promise()).personas] == [2, 1]


async def test_a_persona_is_muted_and_heard_again(session: Session) -> None:
    """Of all who were muted one is heard again."""
    await session.post("mute")
    await session.post("mute", persona_id=session.teacher, muted=False)

    assert [each.muted for each in (await session.promise()).personas] == [True, False]
    assert sorted(await session.changes()) == sorted(
        [("muted", session.chef), ("muted", session.teacher), ("unmuted", session.teacher)]
    )


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("say", {"text": "x"}),
        ("forget", {}),
        ("mute", {}),
    ],
)
async def test_a_persona_that_is_not_there_is_not_found(
    session: Session, path: str, asked: dict[str, str]
) -> None:
    """The refusal names the choices."""
    answer = await session.post(path, **asked, persona_id="x")

    assert (answer.status_code, answer.json()["error"]) == (404, "persona_unknown")
    assert session.chef in answer.json()["detail"]


async def test_an_ended_session_does_not_change(session: Session) -> None:
    """It is over."""
    await session.http.delete(session.path)
    answer = await session.post("mute")

    assert (answer.status_code, answer.json()["error"]) == (409, "session_ended")
