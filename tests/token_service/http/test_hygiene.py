"""Secrets in answers and logs, CORS, sizes and shapes of answers, metrics and the status."""

import io
import json
import logging
import time
from collections.abc import AsyncGenerator, Generator

import httpx
import pytest
import structlog
from redis.asyncio import Redis

from harness.servers import LiveKit
from protocol.config.log import configure_logging
from protocol.config.settings import Settings
from tests.token_service.auth.callers import app
from tests.token_service.players import beat, signature
from token_service.app import create_app
from token_service.fleet.schedule import SCHEDULE_KEY, RoomEntry
from token_service.fleet.space import Space
from token_service.http.page import content_policy
from token_service.server.middleware import BODY_BYTES


@pytest.fixture
def logged(settings: Settings) -> Generator[io.StringIO]:
    """Return everything that the service logs at level debug, as JSON."""
    root, written = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    configure_logging(settings.model_copy(update={"log_level": "debug", "log_format": "json"}))
    formatter = root.handlers[0].formatter
    handler = logging.StreamHandler(written)
    handler.setFormatter(formatter)
    root.handlers[:] = [handler]
    yield written
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.parametrize(("address", "status"), [("203.0.113.7", 403), ("127.0.0.1", 200)])
async def test_strangers_read_no_figures(
    settings: Settings, redis: Redis, address: str, status: int
) -> None:
    """In `open` mode `/metrics` answers this machine, and nobody whom a proxy passes on."""
    async with app(settings.model_copy(update={"auth_mode": ("open",)}), address) as http:
        assert (await http.get("/metrics")).status_code == status


async def test_no_secret_prompt_or_word_is_logged(
    settings: Settings, redis: Redis, logged: io.StringIO
) -> None:
    """No secret, prompt or line of a session's life is logged, even at level debug."""
    await beat(redis)
    persona = {"name": "chef", "prompt": "The recipe is love."}
    bad = {"name": "chef", "prompt": "The recipe is love." * 100}
    async with app(settings, "127.0.0.1", "http://localhost") as http:
        said = (await http.post("/sessions", json={"personas": [persona]})).json()
        at = f"/sessions/{said['id']}"
        await http.post("/sessions", json={"personas": [bad]})
        await http.post(f"{at}/say", json={"text": "Spoken aloud."})
        guest = (await http.post(f"{at}/guests")).json()
        await http.post("/token", headers={"Authorization": f"Bearer {guest['bearer']}"})
        await http.get("/sessions", headers={"Authorization": "Bearer mrk_aa_topsecret"})
        await http.delete(at)
    text = logged.getvalue()

    assert "session_opened" in text
    for secret in (
        "recipe",
        "Spoken",
        "topsecret",
        said["participant_token"],
        guest["bearer"],
        settings.livekit_api_secret.get_secret_value(),
    ):
        assert secret not in text


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"name": ', "body: Expecting value at character 9; expected JSON"),
        (b"\xff", "body: expected JSON in UTF-8"),
        (b'{"max_people": ' + b"1" * 5000 + b"}", "body: expected JSON in UTF-8, with numbers of"),
        (b"[" * 100_000, "body: expected JSON in UTF-8"),
    ],
)
async def test_a_body_that_is_no_json_is_told(
    http: httpx.AsyncClient, body: bytes, told: str
) -> None:
    """A body that cannot be read as JSON is refused as such, with what was expected."""
    headers = {"Content-Type": "application/json"}
    answer = await http.post("/sessions", content=body, headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_input")
    assert answer.json()["detail"].startswith(told)


async def test_a_refusal_shows_no_prompt(http: httpx.AsyncClient, redis: Redis) -> None:
    """The refusal of an invalid prompt is shorter than 1,000 bytes."""
    await beat(redis)
    answer = await http.post("/sessions", json={"personas": [{"name": "chef", "prompt": 7}]})

    assert answer.status_code == 400
    assert len(answer.content) < 1000


@pytest.mark.parametrize("path", ["/token", "/sessions", "/sessions/x/say", "/webhook"])
async def test_a_body_over_the_limit_is_refused(
    http: httpx.AsyncClient, redis: Redis, livekit: LiveKit, path: str
) -> None:
    """A body over the limit is refused with 413, whether it is sent at once or in chunks."""
    await beat(redis)
    pieces = [b"{" + b" " * 65_536] * (BODY_BYTES // 65_536 + 1)

    async def in_pieces() -> AsyncGenerator[bytes]:
        for piece in pieces:
            yield piece

    headers = {"Content-Type": "application/json"}
    if path == "/webhook":  # LiveKit's signature is checked before the body is read
        headers["Authorization"] = signature(b"", livekit)
    whole = await http.post(path, content=b"".join(pieces), headers=headers)
    chunked = await http.post(path, content=in_pieces(), headers=headers)

    for answer in (whole, chunked):
        assert (answer.status_code, answer.json()["error"]) == (413, "too_long")


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("PUT", "/token", 405, "method_not_allowed"),
        ("POST", "/sessions", 400, "invalid_input"),
        ("GET", "/sessions/x", 404, "session_unknown"),
    ],
)
async def test_every_refusal_has_one_shape(
    http: httpx.AsyncClient, redis: Redis, method: str, path: str, status: int, error: str
) -> None:
    """Every refusal is a problem by RFC 9457, also one of the framework."""
    await beat(redis)
    answer = await http.request(method, path, content=b"[")
    problem = answer.json()

    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["error"]) == (status, status, error)
    assert problem["type"] == f"urn:moshi-rooms:{error}"


async def test_an_unexpected_exception_is_not_shown(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected exception is answered with 500 and code `failure`, without its text."""

    async def broken(self: Space) -> None:
        raise ZeroDivisionError("secret")

    running = create_app(settings)
    monkeypatch.setattr(Space, "check", broken)
    transport = httpx.ASGITransport(running, raise_app_exceptions=False)
    async with (
        running.router.lifespan_context(running),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as http,
    ):
        answer = await http.get("/status")

    assert (answer.status_code, answer.json()["error"]) == (500, "failure")
    assert "secret" not in answer.text


async def test_cors_is_closed_by_default(http: httpx.AsyncClient, redis: Redis) -> None:
    """Without CORS_ORIGINS no answer has CORS headers, even for an origin of this machine."""
    await beat(redis)
    asking = {"Origin": "http://localhost:5173", "Access-Control-Request-Method": "DELETE"}
    preflight = await http.options("/sessions/x", headers=asking)
    answer = await http.get("/sessions", headers={"Origin": "http://localhost:5173"})

    assert preflight.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["", "/", "/livekit", "/livekit/"])
def test_the_page_loads_nothing_from_elsewhere(path: str) -> None:
    """The page's policy allows its own files and LiveKit's origin without a path."""
    policy = dict(
        rule.split(" ", 1) for rule in content_policy(f"wss://rooms.example:7880{path}").split("; ")
    )

    assert policy["default-src"] == "'self'"
    assert policy["connect-src"] == "'self' wss://rooms.example:7880 https://rooms.example:7880"
    assert "script-src" not in policy


async def test_metrics_show_the_fleet(http: httpx.AsyncClient, redis: Redis) -> None:
    """`/metrics` has the fleet's free slots, used slots, ready workers and waiting rooms."""
    await beat(redis, "one", slots_free=4, slots_used=2)
    await beat(redis, "two", state="draining", slots_used=3)
    entry = RoomEntry(queued_s=1.0, needs=1, expires_s=time.time() + 60)
    await redis.hset(SCHEDULE_KEY, "room:r", entry.model_dump_json())
    lines = (await http.get("/metrics")).text.splitlines()

    assert "moshi_fleet_slots_free 4.0" in lines
    assert "moshi_fleet_slots_used 5.0" in lines
    assert "moshi_fleet_workers_ready 1.0" in lines
    assert "moshi_rooms_waiting 1.0" in lines


async def test_status_tells_each_worker(http: httpx.AsyncClient, redis: Redis) -> None:
    """`/status` has state, model, slots, step time and rooms of each worker."""
    await beat(
        redis,
        "one",
        slots_free=4,
        slots_used=2,
        step_p99_ms=31.5,
        hosts={"a": 1, "b": 1},
        keys_and_values="int8",
    )
    await beat(redis, "two", state="error", reason="no such model", slots_free=0)
    said = (await http.get("/status")).json()

    assert (said["livekit"], said["redis"], said["rooms_waiting"]) == ("ok", "ok", 0)
    assert said["workers"] == [
        {
            "id": "one",
            "state": "ready",
            "reason": "",
            "model": "pocket",
            "keys_and_values": "int8",
            "slots_total": 6,
            "slots_used": 2,
            "slots_free": 4,
            "slots_held": 0,
            "step_p99_ms": 31.5,
            "rooms": 2,
            "stt": {"state": "off", "model": "", "reason": ""},
            "guarded": False,
        },
        {
            "id": "two",
            "state": "error",
            "reason": "no such model",
            "model": "pocket",
            "keys_and_values": "",
            "slots_total": 0,
            "slots_used": 0,
            "slots_free": 0,
            "slots_held": 0,
            "step_p99_ms": None,
            "rooms": 0,
            "stt": {"state": "off", "model": "", "reason": ""},
            "guarded": False,
        },
    ]


async def test_an_open_service_hides_worker_ids(settings: Settings, redis: Redis) -> None:
    """In `open` mode `/status` numbers the workers in place of their ids."""
    await beat(redis, "one")
    await beat(redis, "two")
    async with app(settings.model_copy(update={"auth_mode": ("open",)})) as http:
        answer = await http.get("/status")

    assert [worker["id"] for worker in answer.json()["workers"]] == ["1", "2"]


async def test_status_tells_what_is_away(settings: Settings) -> None:
    """`/status` answers while redis and LiveKit are away, and says that they are."""
    away = {"redis_url": "redis://127.0.0.1:9/0", "livekit_url": "ws://127.0.0.1:9"}
    async with app(settings.model_copy(update=away), "127.0.0.1", "http://localhost") as http:
        answer = await http.get("/status")

    assert answer.json() | {"workers": None} == {
        "livekit": "LiveKit does not answer.",
        "redis": "Redis does not answer.",
        "workers": None,
        "rooms_waiting": 0,
    }


def test_problems_are_described(settings: Settings) -> None:
    """The OpenAPI document lists the refusals of `POST /sessions`, as problems."""
    document = create_app(settings).openapi()
    answers = document["paths"]["/sessions"]["post"]["responses"]

    assert {"201", "400", "401", "403", "409", "413", "429", "503"} <= set(answers)
    assert "Problem" in json.dumps(answers["503"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"persona": "chef"}, "persona: no such field; choices: room, identity, name, personas, "),
        ({"personas": [7]}, "personas.0: expected a name, or an object with a name"),
        ({"personas": [{"name": "chef", "mood": 1}]}, "personas.0.mood: no such field"),
        ({"personas": ["chef"] * 15}, "personas: expected at most 14 items, got 15"),
    ],
)
async def test_a_wrong_body_is_told_by_its_own_names(
    settings: Settings, redis: Redis, body: dict[str, object], said: str
) -> None:
    """The refusal of a body names the place as it was written, and the fields that there are."""
    async with app(settings, "127.0.0.1", "http://localhost") as http:
        answer = await http.post("/sessions", json=body)

    assert answer.json()["detail"].startswith(said)
    assert ";" not in answer.json()["detail"].removeprefix(said)
