"""Sessions over HTTP: opening, viewing, listing, refusals."""

import json
import time
from typing import Any

import httpx
import jwt
import pytest
from redis.asyncio import Redis

from harness.servers import LiveKit
from protocol.config.settings import Settings
from protocol.events import TurnEvent
from protocol.room_spec import RoomSpec
from tests.token_service.players import (
    beat,
    joined,
    look,
    opened,
    persona_token,
    spec_of,
    write,
)
from token_service.rooms import store
from token_service.rooms.events import EventStore
from token_service.rooms.store import OWNED_KEY, SESSION_KEY
from token_service.service import Service
from token_service.sessions.sessions import LISTED


async def test_a_session_is_opened(
    http: httpx.AsyncClient, redis: Redis, settings: Settings, room: str
) -> None:
    """The answer has all that a client needs to join the session and to manage it."""
    await beat(redis)
    said = await opened(http, room=room, identity="ann", name="Ann", personas=["chef", "teacher"])
    secret = settings.livekit_api_secret.get_secret_value()
    claims = jwt.decode(said["participant_token"], secret, algorithms=["HS256"])
    ids = [persona["id"] for persona in said["personas"]]

    assert said | {"personas": None, "participant_token": None} == {
        "id": said["id"],
        "room": room,
        "identity": "ann",
        "server_url": "wss://rooms.example",
        "participant_token": None,
        "token_id": claims["jti"],
        "state": "open",
        "waiting": None,
        "recording": None,
        "personas": None,
    }
    assert (claims["sub"], claims["name"], claims["video"]["room"]) == ("ann", "Ann", room)
    assert [persona["name"] for persona in said["personas"]] == ["chef", "teacher"]
    assert [each.id for each in (await spec_of(redis, room)).personas] == ids


async def test_every_field_has_a_default(http: httpx.AsyncClient, redis: Redis) -> None:
    """A POST without a body opens a new room with the default persona and a new identity."""
    await beat(redis)
    answer = await http.post("/sessions")
    said = answer.json()

    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert said["room"].startswith("room-")
    assert said["identity"].startswith("person-")
    assert [persona["name"] for persona in said["personas"]] == ["assistant"]


async def test_a_persona_may_be_the_callers_own(
    http: httpx.AsyncClient, redis: Redis, room: str
) -> None:
    """A caller's voice, prompt and sampling override the catalogue's; control characters go."""
    await beat(redis, voices=("anna",))
    persona = {
        "name": "chef",
        "voice": "anna",
        "prompt": "You\u202e cook.\x00\nWell.",
        "sampling": {"seed": 7},
    }
    await opened(http, room=room, personas=[persona])
    persona = (await spec_of(redis, room)).personas[0]

    assert (persona.label, persona.voice, persona.prompt) == ("Chef", "anna", "You cook.\nWell.")
    assert persona.sampling.seed == 7


async def test_a_room_has_one_session(http: httpx.AsyncClient, redis: Redis, room: str) -> None:
    """Another identity cannot open a second session in the same room."""
    await beat(redis)
    await opened(http, room=room, identity="ann")
    answer = await http.post("/sessions", json={"room": room, "identity": "bob"})

    assert (answer.status_code, answer.json()["error"]) == (409, "room_in_use")


async def test_a_token_leads_into_a_session_and_changes_nothing(
    http: httpx.AsyncClient, redis: Redis, room: str
) -> None:
    """`POST /token` for a session's room joins that session and keeps its personas."""
    await beat(redis, slots_free=1, slots_used=5)
    session = await opened(http, room=room, personas=["chef"])
    answer = await http.post("/token", json={"room_name": room})
    spec = await spec_of(redis, room)

    assert answer.status_code == 201
    assert (spec.session, [each.name for each in spec.personas]) == (session["id"], ["chef"])


async def test_a_live_session_is_shown_in_full(
    http: httpx.AsyncClient, redis: Redis, livekit: LiveKit, room: str
) -> None:
    """A live session shows its state, people, turns, and each persona's participant."""
    await beat(redis)
    said = await opened(http, room=room, identity="ann", name="Ann", personas=["chef", "teacher"])
    chef, teacher = (persona["id"] for persona in said["personas"])
    for latency_ms in (300, 500, 800):
        turn = TurnEvent(
            at_s=time.time(), persona_id=chef, persona="chef", identity="x", latency_ms=latency_ms
        )
        await EventStore(redis).add(room, turn)
    await beat(redis, hosts={room: 0})
    async with (
        joined(livekit, said["participant_token"]),
        joined(livekit, persona_token(livekit, room, chef, "speaking")),
    ):
        session = await look(http, said["id"])
        listed = (await http.get("/sessions")).json()

    assert (session["state"], session["turns"]) == (
        "live",
        {"count": 3, "last_ms": 800, "median_ms": 500},
    )
    assert [(each["identity"], each["name"]) for each in session["people"]] == [("ann", "Ann")]
    assert [(each["id"], each["state"], each["identity"]) for each in session["personas"]] == [
        (chef, "speaking", f"agent-{chef}"),
        (teacher, "absent", None),
    ]
    assert [(each["id"], each["state"], each["personas"]) for each in listed] == [
        (said["id"], "live", ["chef", "teacher"])
    ]


async def test_a_prompt_is_not_shown(http: httpx.AsyncClient, redis: Redis) -> None:
    """A persona's prompt is in no answer."""
    await beat(redis)
    said = await opened(http, personas=[{"name": "chef", "prompt": "The recipe is love."}])

    assert "love" not in json.dumps([said, await look(http, said["id"])])


async def test_sessions_are_listed_the_latest_first(http: httpx.AsyncClient, redis: Redis) -> None:
    """Sessions are listed latest first, without the rooms of `POST /token`."""
    await beat(redis)
    await http.post("/token")
    ids = [(await opened(http))["id"] for _ in range(3)]

    assert [each["id"] for each in (await http.get("/sessions")).json()] == ids[::-1]


async def write_newer(service: Service, spec: RoomSpec, sessions: int, **fields: Any) -> list[str]:
    """Write specs like this one that were opened after it; return the ids of their sessions."""
    ids = [str(number) for number in range(sessions)]
    for each in ids:
        newer = {"room": f"{spec.room} {each}", "session": each, "opened_s": spec.opened_s + 1}
        await write(service.specs, spec.model_copy(update=newer | fields))
    return ids


async def test_unused_tokens_push_no_session_out_of_the_list(
    http: httpx.AsyncClient, service: Service, redis: Redis
) -> None:
    """Rooms of `POST /token` push no session out of the list."""
    await beat(redis)
    said = await opened(http)
    await write_newer(service, await spec_of(redis, said["room"]), LISTED, opener="")

    assert [each["id"] for each in (await http.get("/sessions")).json()] == [said["id"]]
    assert await redis.zcard(OWNED_KEY.format(owner="anyone")) == 1


async def test_a_callers_list_is_bounded(
    http: httpx.AsyncClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis keeps the latest OWNED_KEPT sessions of a caller."""
    monkeypatch.setattr(store, "OWNED_KEPT", 2)
    await beat(redis)
    ids = [(await opened(http))["id"] for _ in range(3)]

    assert [each["id"] for each in (await http.get("/sessions")).json()] == ids[:0:-1]
    assert await redis.zcard(OWNED_KEY.format(owner="anyone")) == 2


async def test_a_room_with_a_second_session_is_listed(
    http: httpx.AsyncClient, redis: Redis, room: str
) -> None:
    """A room whose session ended and which has another one is listed, with the new session."""
    await beat(redis)
    first = await opened(http, room=room)
    await http.delete(f"/sessions/{first['id']}")
    second = await opened(http, room=room)

    assert [each["id"] for each in (await http.get("/sessions")).json()] == [second["id"]]


async def test_forgotten_sessions_hide_no_older_one(
    http: httpx.AsyncClient, service: Service, redis: Redis
) -> None:
    """A session is listed though more than a list holds were opened after it and forgotten."""
    await beat(redis)
    said = await opened(http)
    for session in await write_newer(service, await spec_of(redis, said["room"]), LISTED + 1):
        await redis.delete(SESSION_KEY.format(id=session))

    assert [each["id"] for each in (await http.get("/sessions")).json()] == [said["id"]]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/events"),
        ("POST", "/say"),
        ("POST", "/personas"),
        ("DELETE", "/personas/x"),
        ("DELETE", "/tokens/x"),
        ("DELETE", "/people/x"),
    ],
)
async def test_an_unknown_session_is_not_found(
    http: httpx.AsyncClient, redis: Redis, method: str, path: str
) -> None:
    """Every path of an unknown session answers 404 with `session_unknown`."""
    body = {"text": "x"} if path == "/say" else {"personas": ["chef"]}
    await beat(redis)
    answer = await http.request(method, f"/sessions/nonsense{path}", json=body)

    assert (answer.status_code, answer.json()["error"]) == (404, "session_unknown")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"room": "a\nb"}, "room"),
        ({"room": "x" * 257}, "room"),
        ({"identity": "agent-chef-1"}, "identity"),
        ({"name": "Ann\u202e"}, "name"),
        ({"personas": ["chef", "nobody"]}, "personas.1: 'nobody' is unknown"),
        ({"personas": "chef"}, "personas: expected a list, got a text"),
        ({"personas": ["chef"] * 15}, "personas"),
        ({"personas": [{"name": "chef", "prompt": "x" * 1001}]}, "personas.0: prompt"),
        ({"colour": "blue"}, "colour"),
    ],
)
async def test_an_invalid_field_is_refused_with_its_name(
    http: httpx.AsyncClient, redis: Redis, asked: dict[str, Any], field: str
) -> None:
    """An invalid field is refused with 400 and its name."""
    await beat(redis, slots_free=99)
    answer = await http.post("/sessions", json=asked)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_input")
    assert answer.json()["detail"].startswith(field)
