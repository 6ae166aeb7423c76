"""A session's personas over HTTP: each call is a change of the promise, and an event."""

from collections.abc import AsyncGenerator
from concurrent.futures import Future
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from protocol.commands import TAKEN, Answer, Command, mailbox_key
from protocol.events import ChangedEvent
from protocol.room_spec import RoomSpec
from tests.token_service.players import beat, hosting
from token_service.fleet.reader import FleetReader
from token_service.rooms.events import EventStore
from token_service.rooms.store import SpecStore


class Session:
    """One that is open, with a chef and a teacher, and a worker of six slots."""

    def __init__(self, http: httpx.AsyncClient, redis: Redis, said: dict[str, Any]) -> None:
        self.http, self.redis = http, redis
        self.path, self.room = f"/sessions/{said['id']}", said["room"]
        self.chef, self.teacher = (persona["id"] for persona in said["personas"])

    async def post(self, path: str, **asked: Any) -> httpx.Response:
        """Ask for a change."""
        return await self.http.post(f"{self.path}/{path}", json=asked)

    async def spec(self) -> RoomSpec:
        """What the host reads."""
        spec = await SpecStore(self.redis, FleetReader(self.redis), 600).read(self.room)
        assert spec is not None
        return spec

    async def changes(self) -> list[tuple[str, str]]:
        """The changes that the events tell."""
        return [
            (event.change, event.persona_id)
            for event in await EventStore(self.redis).so_far(self.room)
            if isinstance(event, ChangedEvent)
        ]


@pytest.fixture
async def session(http: httpx.AsyncClient, redis: Redis) -> Session:
    """A session that nobody has come to yet."""
    await beat(redis)
    answer = await http.post("/sessions", json={"personas": ["chef", "teacher"]})
    return Session(http, redis, answer.json())


class Live:
    """A session with a host, which answers every command so; `None`: it never answers."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.answer: Answer | None = TAKEN
        self.commands: list[Command] = []
        self.futures: list[Future[Answer]] = []

    def obey(self, command: Command) -> Future[Answer]:
        """Take note of a command."""
        future: Future[Answer] = Future()
        self.commands.append(command)
        self.futures.append(future)
        if self.answer is not None:
            future.set_result(self.answer)
        return future


@pytest.fixture
async def live(session: Session, own_redis_url: str) -> AsyncGenerator[Live]:
    """The session's host is there."""
    spec = await session.spec()
    await beat(session.redis, hosts={session.room: spec.generation})
    live = Live(session)
    async with hosting(own_redis_url, spec, live.obey):
        yield live


async def test_personas_are_added(session: Session) -> None:
    """The others keep their ids, and no new host is needed."""
    answer = await session.post("personas", personas=["astronaut"])
    spec = await session.spec()
    newcomer = answer.json()[0]

    assert (answer.status_code, newcomer["name"], newcomer["state"]) == (201, "astronaut", "absent")
    assert [each.id for each in spec.personas] == [
        session.chef,
        session.teacher,
        newcomer["id"],
    ]
    assert spec.generation == 0
    assert await session.changes() == [("added", newcomer["id"])]


async def test_a_newcomer_needs_a_place(session: Session) -> None:
    """Where no slot is free nothing changes, whether the host is there or still to come."""
    await beat(session.redis, slots_free=2, slots_used=4)
    before = await session.post("personas", personas=["astronaut"])
    await beat(session.redis, slots_free=0, slots_used=6, hosts={session.room: 0})
    live = await session.post("personas", personas=["astronaut"])

    assert [each.json()["error"] for each in (before, live)] == ["full", "full"]
    assert len((await session.spec()).personas) == 2


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
    assert [each.id for each in (await session.spec()).personas] == [session.teacher]
    assert await session.changes() == [("removed", session.chef)]


async def test_the_last_persona_stays(session: Session) -> None:
    """A session without personas is none: it is to be ended."""
    await session.http.delete(f"{session.path}/personas/{session.chef}")
    answer = await session.http.delete(f"{session.path}/personas/{session.teacher}")

    assert (answer.status_code, answer.json()["error"]) == (409, "last_persona")


async def test_a_line_is_said(live: Live) -> None:
    """The host gets the line with an id of its own; unseen characters are gone."""
    answer = await live.session.post("say", persona_id=live.session.chef, text="Hello\x07 there.")
    [command] = live.commands

    assert answer.status_code == 202
    assert answer.json() == {"id": command.id, "persona_id": live.session.chef}
    assert (command.do, command.persona_id, command.text) == (
        "say",
        live.session.chef,
        "Hello there.",
    )
    assert await live.session.changes() == [("say", live.session.chef)]


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        ("not_live", 409),
        ("starting", 503),
        ("persona_absent", 503),
        ("persona_muted", 409),
        ("cannot_say", 409),
        ("too_many_lines", 503),
    ],
)
async def test_what_the_host_refuses_is_refused(live: Live, refusal: Any, status: int) -> None:
    """The host's reason is the answer, and no event says that a line was given."""
    live.answer = Answer(refusal=refusal, detail="Because.")
    answer = await live.session.post("say", persona_id=live.session.chef, text="Hello.")

    assert (answer.status_code, answer.json()["error"]) == (status, refusal)
    assert answer.json()["detail"] == "Because."
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert await live.session.changes() == []


@pytest.mark.parametrize("path", ["say", "forget"])
async def test_without_a_host_there_is_no_command(session: Session, path: str) -> None:
    """Where no person has come yet, or the worker is gone, the caller is told what to wait for."""
    text = {"text": "Hello."} if path == "say" else {}
    answer = await session.post(path, persona_id=session.chef, **text)

    assert (answer.status_code, answer.json()["error"]) == (409, "not_live")
    assert "once a person has joined" in answer.json()["detail"]


async def test_a_worker_that_does_not_look_gets_no_command_later(session: Session) -> None:
    """A command that was not taken in time is taken back: nothing is left to be done."""
    spec = await session.spec()
    await beat(session.redis, hosts={session.room: spec.generation})
    answer = await session.post("say", persona_id=session.chef, text="Hello.")

    assert (answer.status_code, answer.json()["error"]) == (503, "no_answer")
    assert "taken back" in answer.json()["detail"]
    assert not await session.redis.exists(mailbox_key("worker"))


async def test_a_host_that_hangs_does_nothing_later(live: Live) -> None:
    """The worker answers for a host that does not, and calls the command off."""
    live.answer = None
    answer = await live.session.post("say", persona_id=live.session.chef, text="Hello.")

    assert (answer.status_code, answer.json()["error"]) == (503, "no_answer")
    assert [future.cancelled() for future in live.futures] == [True]


async def test_a_line_needs_a_speaker(live: Live) -> None:
    """With two personas one must be named; with one it is clear."""
    session = live.session
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


async def test_a_memory_is_made_fresh(live: Live) -> None:
    """One persona's or, without a name, everybody's, by one command."""
    session = live.session
    await session.post("forget", persona_id=session.chef)
    answer = await session.post("forget")

    assert [each["id"] for each in answer.json()] == [session.chef, session.teacher]
    assert [(each.do, each.persona_id) for each in live.commands] == [
        ("forget", session.chef),
        ("forget", ""),
    ]


async def test_a_persona_is_muted_and_heard_again(session: Session) -> None:
    """Of all who were muted one is heard again."""
    await session.post("mute")
    await session.post("mute", persona_id=session.teacher, muted=False)

    assert [each.muted for each in (await session.spec()).personas] == [True, False]
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
