"""`POST /token` over HTTP: the answer's shape, the refusals, and the room's spec."""

import json
from typing import Any

import httpx
import jwt
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as patience
from hypothesis import strategies as st
from livekit import api
from redis.asyncio import Redis

from harness.servers import LiveKit
from protocol.config.settings import Settings
from tests.token_service.players import beat
from token_service.app import create_app
from token_service.fleet.reader import FleetReader
from token_service.rooms.store import SpecStore
from token_service.server.middleware import BODY_BYTES

FIELDS = st.sampled_from(
    ["room_name", "participant_identity", "participant_metadata", "participant_attributes", "x"]
)
VALUES = (
    st.none()
    | st.integers()
    | st.text(max_size=300)
    | st.dictionaries(st.text(max_size=9), st.text(max_size=9))
)
PATHS = ("/token", "/api/v2/sandbox/connection-details")


def agents(*personas: str) -> dict[str, Any]:
    """Return a room_config that asks for personas."""
    return {"agents": [{"agent_name": "moshi", "metadata": json.dumps({"personas": personas})}]}


async def spec_names(redis: Redis, room: str) -> list[str]:
    """Return the names of the personas in a room's spec."""
    spec = await SpecStore(redis, FleetReader(redis), 600).read(room)
    return [persona.name for persona in spec.personas] if spec else []


@pytest.mark.parametrize("path", PATHS)
async def test_a_token_is_created(http: httpx.AsyncClient, redis: Redis, path: str) -> None:
    """Both paths answer 201 with the standard's fields in snake case and the public LiveKit URL."""
    await beat(redis)
    answer = await http.post(path, json={"room_name": "kitchen", "participant_name": "Ann"})
    said = answer.json()

    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert said == {
        "server_url": "wss://rooms.example",
        "participant_token": said["participant_token"],
        "room_name": "kitchen",
        "participant_name": "Ann",
    }


async def test_an_empty_body_without_a_content_type_is_enough(
    http: httpx.AsyncClient, redis: Redis, settings: Settings
) -> None:
    """A POST without a body gets a token for a new room, whose spec has the default persona."""
    await beat(redis)
    answer = await http.post("/token")
    said = answer.json()
    secret = settings.livekit_api_secret.get_secret_value()
    claims = jwt.decode(said["participant_token"], secret, algorithms=["HS256"])

    assert answer.status_code == 201
    assert claims["video"]["room"] == said["room_name"]
    assert await spec_names(redis, said["room_name"]) == ["assistant"]


async def test_a_body_in_camel_case_is_read(
    http: httpx.AsyncClient, redis: Redis, room: str
) -> None:
    """A body in camelCase names the room and its personas as one in snake_case does."""
    await beat(redis)
    answer = await http.post("/token", json={"roomName": room, "roomConfig": agents("chef")})

    assert answer.json()["room_name"] == room
    assert "unknown_fields" not in answer.json()
    assert await spec_names(redis, room) == ["chef"]


async def test_unknown_fields_are_named_in_the_answer(
    http: httpx.AsyncClient, redis: Redis, room: str
) -> None:
    """Unknown fields of a request are ignored and named in the answer."""
    await beat(redis)
    answer = await http.post("/token", json={"roomNmae": room, "participant_name": "Ann"})

    assert (answer.status_code, answer.json()["unknown_fields"]) == (201, ["roomNmae"])


async def test_the_requested_personas_are_in_the_spec(
    http: httpx.AsyncClient, redis: Redis, room: str
) -> None:
    """The requested personas are in the room's spec, which lives as long as the token."""
    await beat(redis)
    await http.post("/token", json={"room_name": room, "room_config": agents("chef", "teacher")})

    assert await spec_names(redis, room) == ["chef", "teacher"]
    assert 600 < await redis.ttl(f"moshi:promise:{room}") <= 660


async def test_an_invalid_field_is_refused_with_its_value(
    http: httpx.AsyncClient, redis: Redis
) -> None:
    """An invalid field is refused with 400, the field, its value and what is expected."""
    await beat(redis)
    answer = await http.post("/token", json={"participant_identity": "agent-1"})

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:moshi-rooms:invalid_input",
        "title": "Bad Request",
        "status": 400,
        "error": "invalid_input",
        "detail": "participant_identity='agent-1': identities that begin with 'agent-' are agents'",
    }


async def test_a_body_too_long_is_refused(http: httpx.AsyncClient, redis: Redis) -> None:
    """A body over BODY_BYTES is refused with 413."""
    await beat(redis)
    answer = await http.post("/token", content=b" " * (BODY_BYTES + 1))

    assert (answer.status_code, answer.json()["detail"]) == (
        413,
        "body: expected at most 262144 bytes",
    )


async def test_an_unknown_voice_is_refused(http: httpx.AsyncClient, redis: Redis) -> None:
    """A named voice that no worker has is refused with 400 and the choices."""
    await beat(redis, voices=("anna", "ben"))
    metadata = json.dumps({"persona": {"name": "chef", "voice": "zoe"}})
    answer = await http.post("/token", json={"room_config": {"agents": [{"metadata": metadata}]}})

    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        "chef: voice='zoe' is unknown; choices: anna, ben",
    )


async def test_the_catalogues_voices_pass_on_any_model(
    http: httpx.AsyncClient, redis: Redis
) -> None:
    """A persona of the catalogue is accepted although the model lacks its voice."""
    await beat(redis, voices=("anna", "ben"))
    answer = await http.post("/token", json={"room_config": agents("chef")})

    assert answer.status_code == 201


async def test_without_a_free_slot_a_token_is_refused(
    http: httpx.AsyncClient, redis: Redis
) -> None:
    """Without a free slot a token is refused with 503 and `Retry-After`, and no spec is written."""
    await beat(redis, slots_free=1, slots_used=5)
    answer = await http.post(
        "/token", json={"room_name": "full", "room_config": agents("chef", "teacher")}
    )

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "15")
    assert answer.json() == {
        "type": "urn:moshi-rooms:full",
        "title": "Service Unavailable",
        "status": 503,
        "error": "full",
        "detail": "All places are taken at the moment. Try again soon.",
    }
    assert await spec_names(redis, "full") == []


async def test_without_a_worker_a_token_is_refused(http: httpx.AsyncClient, redis: Redis) -> None:
    """Without a worker a token is refused with 503 and `no_worker`."""
    answer = await http.post("/token")

    assert (answer.status_code, answer.json()["error"]) == (503, "no_worker")


async def test_unused_tokens_make_no_room(
    http: httpx.AsyncClient, redis: Redis, livekit: LiveKit
) -> None:
    """Ten tokens that are not used make no room in LiveKit."""
    await beat(redis)
    answers = [(await http.post("/token")).json() for _ in range(10)]
    rooms = [answer["room_name"] for answer in answers]
    async with livekit.client() as lkapi:
        found = await lkapi.room.list_rooms(api.ListRoomsRequest(names=rooms))

    assert len(set(rooms)) == 10
    assert list(found.rooms) == []


async def cross_origin(settings: Settings, origin: str, method: str) -> httpx.Headers:
    """Return the headers of the answer to a browser's preflight request from another origin."""
    app = create_app(settings.model_copy(update={"cors_origins": ("https://app.example",)}))
    transport = httpx.ASGITransport(app)
    asking = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "content-type,x-sandbox-id",
    }
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return (await client.options("/token", headers=asking)).headers


async def test_an_origin_that_is_set_may_ask(settings: Settings) -> None:
    """An origin in CORS_ORIGINS may send a POST with any header."""
    headers = await cross_origin(settings, "https://app.example", "POST")

    assert headers["access-control-allow-origin"] == "https://app.example"
    assert headers["access-control-allow-headers"] == "content-type,x-sandbox-id"


async def test_another_origin_may_not_ask(settings: Settings) -> None:
    """An origin that is not in CORS_ORIGINS gets no CORS headers."""
    headers = await cross_origin(settings, "https://evil.example", "POST")

    assert "access-control-allow-origin" not in headers


@patience(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.binary(max_size=40) | st.dictionaries(FIELDS, VALUES).map(json.dumps).map(str.encode))
async def test_no_body_makes_the_service_fail(
    http: httpx.AsyncClient, redis: Redis, body: bytes
) -> None:
    """Any body is answered with a token or a refusal, and never with a 5xx."""
    await beat(redis, slots_free=64)
    answer = await http.post("/token", content=body)

    assert answer.status_code in (201, 400)
    assert answer.status_code == 201 or answer.json()["detail"]
