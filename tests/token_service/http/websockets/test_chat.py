"""`/api/chat`: which clients are let in, to which worker, and what a refusal of a handshake says.

The worker's WebSockets are real, in this process, with the echo.
"""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx import codes
from redis.asyncio import Redis

from deploy import installers
from harness import servers
from protocol.config.settings import Settings
from tests.token_service.auth.strangers import Keys
from tests.token_service.players import beat, served
from tests.worker.websocket.caller import Caller, calling
from tests.worker.websocket.conftest import SLOTS, Worker, running
from token_service.app import create_app
from token_service.auth.callers import Scope
from token_service.server.forwarded import Forwarded

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture
async def worker(settings: Settings, redis: Redis) -> AsyncGenerator[Worker]:
    """A worker with two slots that beats once."""
    async with running(settings) as worker:
        await tell(redis, worker)
        yield worker


async def tell(redis: Redis, worker: Worker, **fields: Any) -> None:
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


def behind(settings: Settings, keys: Keys) -> Settings:
    """Return settings that ask for one of these keys."""
    return settings.model_copy(update={"auth_mode": ("api_keys",), "api_keys_file": keys.path})


async def talked(caller: Caller) -> bool:
    """Wait for the handshake."""
    await caller.until(lambda: caller.is_ready, "the handshake")
    return caller.is_ready


async def test_this_machine_talks_without_a_bearer(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """Moshi's own client sends neither bearer nor query."""
    async with service(settings) as host, calling(f"ws://{host}/api/chat") as caller:
        assert await talked(caller)


async def test_a_full_fleet_refuses_the_handshake_with_the_reason(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """503, as every other refusal: a problem with a code and a sentence."""
    await tell(redis, worker, slots_free=0)
    async with service(settings) as host:
        answer = await refusal(host)

    assert answer.status_code == codes.SERVICE_UNAVAILABLE
    assert answer.json()["error"] == "full"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_worker_that_refuses_is_passed_over(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """A heartbeat is half a second old: the worker itself decides."""
    async with running(settings, "worker-2") as other, service(settings) as host:
        await beat(redis, "worker-0", slots_free=9, chat_url="http://127.0.0.1:1/api/chat")
        await beat(redis, "worker-2", slots_free=8, slots_total=8, chat_url=other.url)
        async with (
            calling(f"ws://{host}/api/chat") as first,
            calling(f"ws://{host}/api/chat") as second,
            calling(f"ws://{host}/api/chat") as third,
        ):
            assert await talked(first) and await talked(second) and await talked(third)
            assert (other.engine.used, worker.engine.used) == (2, 1)


async def test_without_a_worker_the_reason_is_said(settings: Settings, redis: Redis) -> None:
    """Neither a fleet without workers nor an older worker leaves a client waiting."""
    async with service(settings) as host:
        assert (await refusal(host)).json()["error"] == "no_worker"
        await beat(redis, "worker-1")
        assert (await refusal(host)).json()["error"] == "no_worker"


async def test_what_is_wrong_with_the_query_is_said(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """400 names the parameter."""
    async with service(settings) as host:
        bad = await refusal(host, "/api/chat?seed=seven")

    assert bad.status_code == 400
    assert "seed='seven'" in bad.json()["detail"]
    assert worker.engine.used == 0


@pytest.mark.parametrize("way", ["bearer", "password", "token", "worker_auth_id"])
async def test_a_bearer_comes_as_each_client_can_send_it(
    settings: Settings, redis: Redis, worker: Worker, tmp_path: Path, way: str
) -> None:
    """In a header, as the URL's password, or in the query."""
    keys = Keys(tmp_path / "keys.toml")
    key = keys.add("app")["Authorization"].removeprefix("Bearer ")
    async with service(behind(settings, keys)) as host:
        url = f"ws://{host}/api/chat"
        if way == "bearer":
            opening = calling(url, headers={"Authorization": f"Bearer {key}"})
        elif way == "password":
            opening = calling(url, password=key)
        else:
            opening = calling(f"{url}?{way}={key}")
        async with opening as caller:
            assert await talked(caller)


async def test_strangers_stay_out(
    settings: Settings, redis: Redis, worker: Worker, tmp_path: Path
) -> None:
    """No bearer, a wrong one, and a key that may only look."""
    keys = Keys(tmp_path / "keys.toml")
    watcher = keys.add("watcher", Scope.OBSERVE)
    async with service(behind(settings, keys)) as host:
        assert (await refusal(host)).status_code == 401
        assert (await refusal(host, "/api/chat?token=mrk_no")).status_code == 401
        assert (await refusal(host, **watcher)).status_code == 403
    assert worker.engine.used == 0


async def test_a_token_or_a_guest_link_leads_to_its_rooms_persona(
    settings: Settings, redis: Redis, worker: Worker, tmp_path: Path
) -> None:
    """One conversation at a time for each; none once it is revoked or the session has ended."""
    keys = Keys(tmp_path / "keys.toml")
    key = keys.add("app")
    async with service(behind(settings, keys)) as host, httpx.AsyncClient(trust_env=False) as http:
        asked = {"personas": ["chef"], "room": "kitchen"}
        opened = await http.post(f"http://{host}/sessions", json=asked, headers=key)
        at = f"http://{host}/sessions/{opened.json()['id']}"
        guest = (await http.post(f"{at}/guests", headers=key)).json()
        minted = await http.post(f"http://{host}/token", json={"room_name": "kitchen"}, headers=key)
        await tell(redis, worker, slots_total=9, slots_free=9)
        for bearer in (guest["bearer"], minted.json()["participant_token"]):
            path = f"/api/chat?token={bearer}"
            async with calling(f"ws://{host}{path}") as caller:
                assert await talked(caller)
                assert worker.personas() == ["chef"]
                assert (await refusal(host, path)).json()["error"] == "busy"
            async with httpx.AsyncClient(trust_env=False) as other:
                plain = {"Authorization": f"Bearer {minted.json()['participant_token']}"}
                assert (
                    await other.get(f"http://{host}/sessions", headers=plain)
                ).status_code == 401
        await http.delete(at, headers=key)
        assert (await refusal(host, path)).status_code in (401, 403)


async def test_pages_of_other_origins_stay_out(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """Browsers let any page open a WebSocket: its origin has to be ours, or in CORS_ORIGINS."""
    friend = "https://friend.example"
    allowing = {"cors_origins": (friend,), "auth_mode": ("open",)}
    async with service(settings.model_copy(update=allowing)) as host:
        foreign = await refusal(host, Origin="https://evil.example")
        assert (foreign.status_code, foreign.json()["error"]) == (403, "origin_not_allowed")
        for origin in (f"http://{host}", friend, "http://localhost:5173"):
            async with calling(f"ws://{host}/api/chat", headers={"Origin": origin}) as caller:
                assert await talked(caller)
        named = {"Host": "rooms.example", "Origin": "http://localhost:5173"}
        assert (await refusal(host, **named)).status_code == 403
    async with service(settings) as host:  # a foreign name that leads to this machine
        assert (await refusal(host, Host="evil.example")).status_code == 401


async def test_one_address_of_strangers_has_a_share(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """In an open service nobody takes all slots, whatever the fleet's size."""
    await tell(redis, worker, slots_free=8, slots_total=8)
    async with service(settings.model_copy(update={"auth_mode": ("open",)})) as host:
        url = f"ws://{host}/api/chat"
        async with calling(url), calling(url):
            answer = await refusal(host)

    assert (answer.status_code, answer.json()["error"]) == (503, "busy")


async def test_below_a_path_the_protocol_is_spoken_as_well(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """`moshi.client --url https://example.com/voice` asks for `/voice/api/chat`."""
    below = settings.model_copy(update={"root_path": "/voice"})
    async with service(below) as host, calling(f"ws://{host}/voice/api/chat") as caller:
        assert await talked(caller)


async def test_behind_the_caddy_of_production_the_protocol_is_spoken(
    settings: Settings, redis: Redis, worker: Worker, tmp_path: Path
) -> None:
    """Under the page's name, without a route of its own."""
    port = servers.free_port()
    config = str(installers.PROJECT / "deploy" / "Caddyfile")
    caddy = [str(installers.caddy()), "run", "--adapter", "caddyfile", "--config", config]
    site = {"DOMAIN": f"http://127.0.0.1:{port}", "CADDY_ADMIN": f"unix/{tmp_path}/admin"}
    site |= {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    async with service(settings) as host:
        site["PORT"] = host.rpartition(":")[2]
        with servers.running(caddy, lambda: listens(port), tmp_path / "caddy.log", site):
            async with calling(f"ws://127.0.0.1:{port}/api/chat") as caller:
                assert await talked(caller)


def listens(port: int) -> bool:
    """Tell whether a server of this machine takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_the_end_of_a_worker_is_said(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """A client is told the worker's own reason, and that it may connect again."""
    async with service(settings) as host, calling(f"ws://{host}/api/chat") as caller:
        await talked(caller)
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
    """One line for each; and none of its address in the log, which may hold a bearer."""
    caplog.set_level(logging.DEBUG)
    audit = tmp_path / "audit.jsonl"
    audited, path = settings.model_copy(update={"audit_log": audit}), "api/chat?text_prompt=Secret"
    async with service(audited) as host, calling(f"ws://{host}/{path}") as caller:
        await talked(caller)

    (line,) = audit.read_text().splitlines()
    assert json.loads(line)["action"] == "chat_opened"
    assert "Secret" not in line + caplog.text


async def test_a_long_prompt_of_any_script_fits_into_the_address(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """A thousand characters, each of them nine in a URL."""
    query = httpx.QueryParams({"text_prompt": "語" * 1000})
    async with service(settings) as host, calling(f"ws://{host}/api/chat?{query}") as caller:
        assert await talked(caller)
