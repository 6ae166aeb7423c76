"""A session's personas over HTTP: each call changes the room's spec and adds an event."""

import json
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from protocol.commands import TAKEN, Answer, Command, answer_key, mailbox_key
from protocol.events import ChangedEvent
from protocol.room_spec import RoomSpec
from tests.token_service.players import beat, hosting
from token_service.fleet.reader import FleetReader
from token_service.rooms.events import EventStore
from token_service.rooms.store import SpecStore


class Session:
    """An open session with a chef and a teacher, on a worker of six slots."""

    def __init__(self, http: httpx.AsyncClient, redis: Redis, said: dict[str, Any]) -> None:
        self.http, self.redis = http, redis
        self.path, self.room = f"/sessions/{said['id']}", said["room"]
        self.chef, self.teacher = (persona["id"] for persona in said["personas"])

    async def post(self, path: str, **asked: Any) -> httpx.Response:
        """Send a POST below the session's path."""
        return await self.http.post(f"{self.path}/{path}", json=asked)

    async def spec(self) -> RoomSpec:
        """Return the room's spec."""
        spec = await SpecStore(self.redis, FleetReader(self.redis), 600).read(self.room)
        assert spec is not None
        return spec

    async def changes(self) -> list[tuple[str, str]]:
        """Return the changes that the session's events tell."""
        return [
            (event.change, event.persona_id)
            for event in await EventStore(self.redis).so_far(self.room)
            if isinstance(event, ChangedEvent)
        ]


@pytest.fixture
async def session(http: httpx.AsyncClient, redis: Redis) -> Session:
    """Open a session that no person has joined."""
    await beat(redis)
    answer = await http.post("/sessions", json={"personas": ["chef", "teacher"]})
    return Session(http, redis, answer.json())


class Live:
    """A session whose host gives `answer` to every command, or no answer if it is None."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.answer: Answer | None = TAKEN
        self.commands: list[Command] = []
        self.futures: list[Future[Answer]] = []

    def obey(self, command: Command) -> Future[Answer]:
        """Record a command; answer it."""
        future: Future[Answer] = Future()
        self.commands.append(command)
        self.futures.append(future)
        if self.answer is not None:
            future.set_result(self.answer)
        return future


@pytest.fixture
async def live(session: Session, own_redis_url: str) -> AsyncGenerator[Live]:
    """Run a host for the session."""
    spec = await session.spec()
    await beat(session.redis, hosts={session.room: spec.generation})
    live = Live(session)
    async with hosting(own_redis_url, spec, live.obey):
        yield live


async def test_personas_are_added(session: Session) -> None:
    """Adding a persona keeps the others' ids and the room's generation."""
    answer = await session.post("personas", personas=["astronaut"])
    spec = await session.spec()
    added = answer.json()[0]

    assert (answer.status_code, added["name"], added["state"]) == (201, "astronaut", "absent")
    assert [each.id for each in spec.personas] == [
        session.chef,
        session.teacher,
        added["id"],
    ]
    assert spec.generation == 0
    assert await session.changes() == [("added", added["id"])]


async def test_an_added_persona_needs_a_free_slot(session: Session) -> None:
    """Without a free slot a persona is refused with `full`, with and without a host."""
    await beat(session.redis, slots_free=2, slots_used=4)
    before = await session.post("personas", personas=["astronaut"])
    await beat(session.redis, slots_free=0, slots_used=6, hosts={session.room: 0})
    live = await session.post("personas", personas=["astronaut"])

    assert [each.json()["error"] for each in (before, live)] == ["full", "full"]
    assert len((await session.spec()).personas) == 2


async def test_an_added_persona_needs_a_worker_that_is_fast_enough(session: Session) -> None:
    """Where the steps of the room's host take too long, a persona is refused with `too_slow`."""
    hosts = {session.room: 0}
    await beat(session.redis, slots_total=6, slots_free=0, slots_used=2, hosts=hosts, too_slow=True)

    assert (await session.post("personas", personas=["chef"])).json()["error"] == "too_slow"


async def test_one_free_slot_is_given_once(session: Session) -> None:
    """The second of two added personas is refused if one slot is free."""
    await beat(session.redis, slots_free=1, slots_used=5, hosts={session.room: 0})
    answers = [await session.post("personas", personas=["astronaut"]) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 503]


async def test_a_room_has_at_most_fourteen_personas(session: Session) -> None:
    """A room has at most fourteen personas."""
    await beat(session.redis, slots_free=64)
    answer = await session.post("personas", personas=["chef"] * 13)

    assert (answer.status_code, answer.json()["error"]) == (409, "too_many_personas")


async def test_an_unknown_voice_is_refused(session: Session) -> None:
    """The voice of an added persona has to be one of the workers' voices."""
    await beat(session.redis, voices=("anna", "ben"))
    answer = await session.post("personas", personas=[{"name": "chef", "voice": "zoe"}])

    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        "chef: voice='zoe' is unknown; choices: anna, ben",
    )


async def test_a_persona_is_removed(session: Session) -> None:
    """Removing a persona leaves the others as they are."""
    answer = await session.http.delete(f"{session.path}/personas/{session.chef}")

    assert answer.status_code == 204
    assert [each.id for each in (await session.spec()).personas] == [session.teacher]
    assert await session.changes() == [("removed", session.chef)]


async def test_the_last_persona_stays(session: Session) -> None:
    """A session's last persona cannot be removed."""
    await session.http.delete(f"{session.path}/personas/{session.chef}")
    answer = await session.http.delete(f"{session.path}/personas/{session.teacher}")

    assert (answer.status_code, answer.json()["error"]) == (409, "last_persona")


async def test_a_line_is_said(live: Live) -> None:
    """`say` gives the host the line, without control characters, and answers with the line's id."""
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
async def test_a_hosts_refusal_is_the_answer(live: Live, refusal: Any, status: int) -> None:
    """A host's refusal of a line is the answer, and adds no event."""
    live.answer = Answer(refusal=refusal, detail="Because.")
    answer = await live.session.post("say", persona_id=live.session.chef, text="Hello.")

    assert (answer.status_code, answer.json()["error"]) == (status, refusal)
    assert answer.json()["detail"] == "Because."
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert await live.session.changes() == []


@pytest.mark.parametrize("path", ["say", "forget"])
async def test_without_a_host_there_is_no_command(session: Session, path: str) -> None:
    """Without a host a command is refused with `not_live`."""
    text = {"text": "Hello."} if path == "say" else {}
    answer = await session.post(path, persona_id=session.chef, **text)

    assert (answer.status_code, answer.json()["error"]) == (409, "not_live")
    assert "once a person has joined" in answer.json()["detail"]


async def test_a_command_that_is_not_read_is_withdrawn(session: Session) -> None:
    """A command that the worker does not read in time is withdrawn and refused with `no_answer`."""
    spec = await session.spec()
    await beat(session.redis, hosts={session.room: spec.generation})
    answer = await session.post("say", persona_id=session.chef, text="Hello.")

    assert (answer.status_code, answer.json()["error"]) == (503, "no_answer")
    assert "taken back" in answer.json()["detail"]
    assert not await session.redis.exists(mailbox_key("worker"))


async def test_a_command_that_is_not_answered_is_cancelled(live: Live) -> None:
    """A command that the host does not answer in time is cancelled and refused with `no_answer`."""
    live.answer = None
    answer = await live.session.post("say", persona_id=live.session.chef, text="Hello.")

    assert (answer.status_code, answer.json()["error"]) == (503, "no_answer")
    assert [future.cancelled() for future in live.futures] == [True]


async def test_a_line_needs_a_speaker(live: Live) -> None:
    """A line has to name its persona if the session has several."""
    session = live.session
    unnamed = await session.post("say", text="Hello.")
    await session.http.delete(f"{session.path}/personas/{session.chef}")
    clear = await session.post("say", text="Hello.")

    assert (unnamed.status_code, unnamed.json()["error"]) == (404, "persona_unknown")
    ids = f"{session.chef}, {session.teacher}"
    assert unnamed.json()["detail"] == f"persona_id: one of several is meant; choices: {ids}"
    assert (clear.status_code, clear.json()["persona_id"]) == (202, session.teacher)


@pytest.mark.parametrize("text", ["", "\x00", "x" * 501])
async def test_an_empty_or_too_long_line_is_refused(session: Session, text: str) -> None:
    """A line has between 1 and 500 visible characters."""
    answer = await session.post("say", persona_id=session.chef, text=text)

    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("text: ")


async def test_personas_forget_by_one_command(live: Live) -> None:
    """`forget` sends the host one command, for one persona or for all."""
    session = live.session
    await session.post("forget", persona_id=session.chef)
    answer = await session.post("forget")

    assert [each["id"] for each in answer.json()] == [session.chef, session.teacher]
    assert [(each.do, each.persona_id) for each in live.commands] == [
        ("forget", session.chef),
        ("forget", ""),
    ]


async def test_a_persona_is_muted_and_heard_again(session: Session) -> None:
    """`mute` mutes all personas or one, and `muted: false` undoes it for one."""
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
async def test_an_unknown_persona_is_not_found(
    session: Session, path: str, asked: dict[str, str]
) -> None:
    """A command for an unknown persona is refused with 404 and the ids to choose from."""
    answer = await session.post(path, **asked, persona_id="x")

    assert (answer.status_code, answer.json()["error"]) == (404, "persona_unknown")
    assert session.chef in answer.json()["detail"]


async def test_an_ended_session_does_not_change(session: Session) -> None:
    """An ended session refuses changes with `session_ended`."""
    await session.http.delete(session.path)
    answer = await session.post("mute")

    assert (answer.status_code, answer.json()["error"]) == (409, "session_ended")


async def test_a_newer_versions_command_is_answered(live: Live) -> None:
    """A worker answers at once that it does not know a command, and passes none to its host."""
    redis: Any = live.session.redis
    await redis.rpush(mailbox_key("worker"), json.dumps({"id": "7", "do": "dance"}))
    _, answer = await redis.blpop([answer_key("7")], 2)

    assert Answer.model_validate_json(answer).refusal == "no_answer"
    assert live.commands == []
