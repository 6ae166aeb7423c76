"""`/api/chat` with the worker's real WebSockets: which clients and workers, and which refusals."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from httpx import codes
from pydantic import SecretStr
from redis.asyncio import Redis

from deploy import installers
from harness import servers
from protocol.config.settings import Settings
from tests.token_service.auth.callers import Keys
from tests.token_service.players import beat, served
from tests.worker.websocket.caller import Caller, calling
from tests.worker.websocket.conftest import SLOTS, Worker, running
from token_service.app import create_app
from token_service.auth.callers import Scope
from token_service.http.websockets.chat import WITHDRAWN
from token_service.server.forwarded import Forwarded

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture
async def worker(settings: Settings, redis: Redis) -> AsyncGenerator[Worker]:
    """Run a worker with two slots; write its heartbeat once."""
    async with running(settings) as worker:
        await write_heartbeat(redis, worker)
        yield worker


async def write_heartbeat(redis: Redis, worker: Worker, **fields: Any) -> None:
    """Write the worker's heartbeat."""
    free = worker.admission.free()
    fields = {"slots_total": SLOTS, "slots_free": free, "chat_url": worker.url} | fields
    await beat(redis, "worker-1", **fields)


@asynccontextmanager
async def service(settings: Settings) -> AsyncGenerator[str]:
    """Serve the token service as its process does; yield its host and port."""
    app: Any = Forwarded(create_app(settings), settings)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with served(app, listening):
            yield f"127.0.0.1:{listening.getsockname()[1]}"


async def refusal(host: str, path: str = "/api/chat", **headers: str) -> httpx.Response:
    """Return the answer to a handshake that is refused."""
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(f"http://{host}{path}", headers=UPGRADE | headers)


def with_keys(settings: Settings, keys: Keys) -> Settings:
    """Return settings that ask for one of these keys."""
    return settings.model_copy(update={"auth_mode": ("api_keys",), "api_keys_file": keys.path})


async def handshake_done(caller: Caller) -> bool:
    """Wait for the handshake; return that it came."""
    await caller.until(lambda: caller.is_ready, "the handshake")
    return caller.is_ready


async def test_this_machine_talks_without_a_bearer(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """In `loopback` mode Moshi's client, which sends no bearer, gets a conversation."""
    async with service(settings) as host, calling(f"ws://{host}/api/chat") as caller:
        assert await handshake_done(caller)


async def test_a_full_fleet_refuses_the_handshake_with_the_reason(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """A handshake is refused with 503, `full` and `Retry-After` if no slot is free."""
    await write_heartbeat(redis, worker, slots_free=0)
    async with service(settings) as host:
        answer = await refusal(host)

    assert answer.status_code == codes.SERVICE_UNAVAILABLE
    assert answer.json()["error"] == "full"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_worker_that_refuses_is_skipped(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """A worker that cannot be reached or refuses is skipped for the next one."""
    async with running(settings, "worker-2") as other, service(settings) as host:
        await beat(redis, "worker-0", slots_free=9, chat_url="http://127.0.0.1:1/api/chat")
        await beat(redis, "worker-2", slots_free=8, slots_total=8, chat_url=other.url)
        async with AsyncExitStack() as calls:
            for place in range(SLOTS + 1):
                caller = await calls.enter_async_context(calling(f"ws://{host}/api/chat"))
                assert await handshake_done(caller)
                used = (min(place + 1, SLOTS), place // SLOTS)
                assert (other.engine.used, worker.engine.used) == used


async def test_a_worker_that_cannot_be_reached_is_not_told_as_full(
    settings: Settings, redis: Redis
) -> None:
    """A worker that takes no ticket (another secret, a wrong clock), or is not there, is told."""
    other = settings.model_copy(update={"livekit_api_secret": SecretStr("x" * 32)})
    async with running(other) as worker, service(settings) as host:
        answers: list[tuple[int, str]] = []
        for url in (worker.url, "http://127.0.0.1:1/api/chat"):
            await write_heartbeat(redis, worker, chat_url=url)
            answer = await refusal(host)
            answers.append((answer.status_code, answer.json()["error"]))

    assert answers == [(503, "worker_unreached")] * 2


async def test_without_a_worker_the_handshake_is_refused(settings: Settings, redis: Redis) -> None:
    """Without a worker that has WebSockets, the handshake is refused with `no_worker`."""
    async with service(settings) as host:
        assert (await refusal(host)).json()["error"] == "no_worker"
        await beat(redis, "worker-1")
        assert (await refusal(host)).json()["error"] == "no_worker"


async def test_an_invalid_query_is_refused(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """An invalid parameter is refused with 400 and its name, and takes no slot."""
    async with service(settings) as host:
        bad = await refusal(host, "/api/chat?seed=seven")

    assert bad.status_code == 400
    assert "seed='seven'" in bad.json()["detail"]
    assert worker.engine.used == 0


@pytest.mark.parametrize("way", ["bearer", "password", "token", "worker_auth_id"])
async def test_a_bearer_is_accepted_in_each_place(
    settings: Settings, redis: Redis, worker: Worker, tmp_path: Path, way: str
) -> None:
    """A bearer is accepted in a header, as the URL's password and in the query."""
    keys = Keys(tmp_path / "keys.toml")
    key = keys.add("app")["Authorization"].removeprefix("Bearer ")
    async with service(with_keys(settings, keys)) as host:
        url = f"ws://{host}/api/chat"
        if way == "bearer":
            opening = calling(url, headers={"Authorization": f"Bearer {key}"})
        elif way == "password":
            opening = calling(url, password=key)
        else:
            opening = calling(f"{url}?{way}={key}")
        async with opening as caller:
            assert await handshake_done(caller)


async def test_a_bearer_with_the_scope_talk_is_required(
    settings: Settings, redis: Redis, worker: Worker, tmp_path: Path
) -> None:
    """A client without a bearer, with a wrong one or without the scope `talk` is refused."""
    keys = Keys(tmp_path / "keys.toml")
    watcher = keys.add("watcher", Scope.OBSERVE)
    async with service(with_keys(settings, keys)) as host:
        assert (await refusal(host)).status_code == 401
        assert (await refusal(host, "/api/chat?token=mrk_no")).status_code == 401
        assert (await refusal(host, **watcher)).status_code == 403
    assert worker.engine.used == 0


async def test_a_token_or_a_guest_link_leads_to_its_rooms_persona(
    settings: Settings, redis: Redis, worker: Worker, tmp_path: Path
) -> None:
    """A guest link or a participant's token gets one conversation of its room at a time."""
    keys = Keys(tmp_path / "keys.toml")
    key = keys.add("app")
    async with (
        service(with_keys(settings, keys)) as host,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        asked = {"personas": ["chef"], "room": "kitchen"}
        opened = await http.post(f"http://{host}/sessions", json=asked, headers=key)
        at = f"http://{host}/sessions/{opened.json()['id']}"
        guest = (await http.post(f"{at}/guests", headers=key)).json()
        minted = await http.post(f"http://{host}/token", json={"room_name": "kitchen"}, headers=key)
        await write_heartbeat(redis, worker, slots_total=9, slots_free=9)
        for bearer in (guest["bearer"], minted.json()["participant_token"]):
            path = f"/api/chat?token={bearer}"
            async with calling(f"ws://{host}{path}") as caller:
                assert await handshake_done(caller)
                assert worker.personas() == ["chef"]
                assert (await refusal(host, path)).json()["error"] == "busy"
            async with httpx.AsyncClient(trust_env=False) as other:
                plain = {"Authorization": f"Bearer {minted.json()['participant_token']}"}
                assert (
                    await other.get(f"http://{host}/sessions", headers=plain)
                ).status_code == 401
        await http.delete(at, headers=key)
        assert (await refusal(host, path)).status_code in (401, 403)


@pytest.mark.parametrize("withdrawn", ["session", "link", "link of its token", "token", "person"])
async def test_a_conversation_ends_with_what_let_it_in(
    settings: Settings, redis: Redis, worker: Worker, tmp_path: Path, withdrawn: str
) -> None:
    """A conversation ends where its session ends, or its link, token or identity is revoked."""
    keys = Keys(tmp_path / "keys.toml")
    key = keys.add("app")
    async with (
        service(with_keys(settings, keys)) as host,
        httpx.AsyncClient(trust_env=False, base_url=f"http://{host}") as http,
    ):
        opened = await http.post("/sessions", json={"personas": ["chef"]}, headers=key)
        at = f"/sessions/{opened.json()['id']}"
        guest = (await http.post(f"{at}/guests", headers=key)).json()
        other = (await http.post(f"{at}/guests", headers=key)).json()
        plain = {"Authorization": f"Bearer {guest['bearer']}"}
        asked = {"participant_identity": "ada"}
        token = (await http.post("/token", json=asked, headers=plain)).json()["participant_token"]
        token_id = jwt.decode(token, options={"verify_signature": False})["jti"]
        path, bearer = {
            "session": (at, guest["bearer"]),
            "link": (f"{at}/guests/{guest['id']}", guest["bearer"]),
            "link of its token": (f"{at}/guests/{guest['id']}", token),
            "token": (f"{at}/tokens/{token_id}", token),
            "person": (f"{at}/people/ada", token),
        }[withdrawn]
        async with (
            calling(f"ws://{host}/api/chat?token={bearer}") as caller,
            calling(f"ws://{host}/api/chat?token={other['bearer']}") as bystander,
        ):
            assert await handshake_done(caller)
            assert await handshake_done(bystander)
            assert (await http.delete(path, headers=key)).status_code in (200, 204)
            await caller.until(lambda: caller.closed is not None, "the end")
            if withdrawn != "session":
                assert bystander.closed is None

    assert caller.closed == WITHDRAWN


async def test_pages_of_foreign_origins_are_refused(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """A page of a foreign origin is refused, unless CORS_ORIGINS has it."""
    friend = "https://friend.example"
    allowing = {"cors_origins": (friend,), "auth_mode": ("open",)}
    async with service(settings.model_copy(update=allowing)) as host:
        foreign = await refusal(host, Origin="https://evil.example")
        assert (foreign.status_code, foreign.json()["error"]) == (403, "origin_not_allowed")
        for origin in (f"http://{host}", friend, "http://localhost:5173"):
            async with calling(f"ws://{host}/api/chat", headers={"Origin": origin}) as caller:
                assert await handshake_done(caller)
        named = {"Host": "rooms.example", "Origin": "http://localhost:5173"}
        assert (await refusal(host, **named)).status_code == 403
    async with service(settings) as host:  # evil.example is a name that leads to this machine
        assert (await refusal(host, Host="evil.example")).status_code == 401


async def test_an_address_of_an_open_service_has_a_share(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """In `open` mode one address gets a share of the fleet's slots."""
    await write_heartbeat(redis, worker, slots_free=8, slots_total=8)
    async with service(settings.model_copy(update={"auth_mode": ("open",)})) as host:
        url = f"ws://{host}/api/chat"
        async with calling(url), calling(url):
            answer = await refusal(host)

    assert (answer.status_code, answer.json()["error"]) == (503, "busy")


async def test_the_protocol_is_spoken_below_a_root_path(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """The protocol is spoken at ROOT_PATH followed by `/api/chat`."""
    below = settings.model_copy(update={"root_path": "/voice"})
    async with service(below) as host, calling(f"ws://{host}/voice/api/chat") as caller:
        assert await handshake_done(caller)


async def test_the_protocol_passes_the_caddy_of_production(
    settings: Settings, redis: Redis, worker: Worker, tmp_path: Path
) -> None:
    """The protocol passes the Caddy of production without a route of its own."""
    port = servers.free_port()
    config = str(installers.PROJECT / "deploy" / "Caddyfile")
    caddy = [str(installers.caddy()), "run", "--adapter", "caddyfile", "--config", config]
    site = {"DOMAIN": f"http://127.0.0.1:{port}", "CADDY_ADMIN": f"unix/{tmp_path}/admin"}
    site |= {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    async with service(settings) as host:
        site["PORT"] = host.rpartition(":")[2]
        with servers.running(caddy, lambda: listens(port), tmp_path / "caddy.log", site):
            async with calling(f"ws://127.0.0.1:{port}/api/chat") as caller:
                assert await handshake_done(caller)


def listens(port: int) -> bool:
    """Return whether a server of this machine accepts connections on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_a_draining_worker_closes_with_its_reason(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """When a worker drains, its clients get close code 1012 and the reason."""
    async with service(settings) as host, calling(f"ws://{host}/api/chat") as caller:
        await handshake_done(caller)
        draining = asyncio.create_task(worker.server.drain(0.0))
        await caller.until(lambda: caller.closed is not None, "the end")
        await draining

    assert caller.closed == (1012, "the worker stops; connect again")


async def test_a_conversation_is_audited_without_its_prompt(
    settings: Settings,
    redis: Redis,
    worker: Worker,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A conversation has one line in the audit log, and its prompt is in no log."""
    caplog.set_level(logging.DEBUG)
    audit = tmp_path / "audit.jsonl"
    audited, path = settings.model_copy(update={"audit_log": audit}), "api/chat?text_prompt=Secret"
    async with service(audited) as host, calling(f"ws://{host}/{path}") as caller:
        await handshake_done(caller)

    (line,) = audit.read_text().splitlines()
    assert json.loads(line)["action"] == "chat_opened"
    assert "Secret" not in line + caplog.text


async def test_a_long_prompt_of_any_script_fits_into_the_address(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """A prompt of a thousand characters fits into the URL, even at nine bytes each."""
    query = httpx.QueryParams({"text_prompt": "語" * 1000})
    async with service(settings) as host, calling(f"ws://{host}/api/chat?{query}") as caller:
        assert await handshake_done(caller)
