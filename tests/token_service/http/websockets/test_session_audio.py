"""`/sessions/{id}/audio` with real LiveKit and WebSockets: which clients, workers and refusals."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from redis.asyncio import Redis

from protocol.config.settings import Settings
from tests.token_service.auth.callers import Keys
from tests.token_service.http.test_events import words
from tests.token_service.http.websockets.test_chat import (
    refusal,
    service,
    with_keys,
    write_heartbeat,
)
from tests.token_service.players import beat
from tests.worker.websocket.conftest import Worker, running
from token_service.auth.callers import Scope
from token_service.rooms.events import EventStore
from worker.websocket import client, server


@pytest.fixture
async def worker(settings: Settings, redis: Redis) -> AsyncGenerator[Worker]:
    """Run a worker; write its heartbeat once."""
    async with running(settings) as worker:
        await write_heartbeat(redis, worker)
        yield worker


async def opened(host: str, headers: dict[str, str] | None = None, **asked: Any) -> dict[str, Any]:
    """Open a session; return the answer."""
    async with httpx.AsyncClient(trust_env=False, headers=headers) as http:
        answer = await http.post(f"http://{host}/sessions", json=asked)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def asked(host: str, method: str, path: str, key: dict[str, str]) -> Any:
    """Send a request to the API; return the answer's JSON."""
    async with httpx.AsyncClient(trust_env=False, headers=key) as http:
        answer = await http.request(method, f"http://{host}{path}")
    return answer.json() if answer.content else None


def audio(session: dict[str, Any], query: str = "") -> str:
    """Return the path of a session's audio."""
    return f"/sessions/{session['id']}/audio{query}"


@asynccontextmanager
async def ready(host: str, path: str, headers: dict[str, str] | None = None) -> AsyncGenerator[Any]:
    """Join the room over a WebSocket; yield the message `ready`."""
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"ws://{host}{path}", headers=headers) as socket,
    ):
        yield await next_told(socket, "ready")


async def next_told(socket: aiohttp.ClientWebSocketResponse, kind: str) -> Any:
    """Return the next JSON message of a type."""
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT and message.json()["type"] == kind:
            return message.json()
    raise AssertionError(f"closed with {socket.close_code} before {kind}")


async def test_a_handshake_is_refused_with_status_and_code(
    settings: Settings, worker: Worker, tmp_path: Path
) -> None:
    """A handshake is refused by key, scope, owner, session, query, origin and the session's end."""
    keys = Keys(tmp_path / "keys.toml")
    key, other = keys.add("app"), keys.add("other")
    watcher = keys.add("app", Scope.OBSERVE)
    async with service(with_keys(settings, keys)) as host:
        session = await opened(host, key)
        path = audio(session)
        refusals = {
            "no key": await refusal(host, path),
            "scope": await refusal(host, path, **watcher),
            "another's": await refusal(host, path, **other),
            "unknown": await refusal(host, "/sessions/none/audio", **key),
            "format": await refusal(host, f"{path}?format=mp3", **key),
            "identity": await refusal(host, f"{path}?identity=agent-chef", **key),
            "origin": await refusal(host, path, Origin="https://evil.example", **key),
        }
        await asked(host, "DELETE", f"/sessions/{session['id']}", key)
        refusals["ended"] = await refusal(host, path, **key)

    assert {name: (each.status_code, each.json()["error"]) for name, each in refusals.items()} == {
        "no key": (401, "unauthorized"),
        "scope": (403, "scope_missing"),
        "another's": (404, "session_unknown"),
        "unknown": (404, "session_unknown"),
        "format": (400, "invalid_input"),
        "identity": (400, "invalid_input"),
        "origin": (403, "origin_not_allowed"),
        "ended": (409, "session_ended"),
    }
    assert "'mp3'" in refusals["format"].json()["detail"]


async def test_a_full_room_and_a_full_worker_refuse(
    settings: Settings, redis: Redis, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full room, a worker with its share of clients and a loading model refuse with 503."""
    async with service(settings) as host:
        session = await opened(host, max_people=1)
        async with ready(host, audio(session)):
            full = await refusal(host, audio(session))
        monkeypatch.setattr(server, "MOST_ROOM_CLIENTS", 0)
        another = await opened(host)
        busy = await refusal(host, audio(another))
        await write_heartbeat(redis, worker, state="loading_model")
        loading = await refusal(host, audio(another))

    answers = [(each.status_code, each.json()["error"]) for each in (full, busy, loading)]
    assert answers == [(503, "room_full"), (503, "busy"), (503, "loading_model")]


async def test_guests_join_with_their_bearers(
    settings: Settings, worker: Worker, tmp_path: Path
) -> None:
    """A guest link joins its session alone; a participant's token joins as its participant."""
    keys = Keys(tmp_path / "keys.toml")
    key = keys.add("app")
    async with service(with_keys(settings, keys)) as host:
        session, another = await opened(host, key), await opened(host, key)
        link = await asked(host, "POST", f"/sessions/{session['id']}/guests", key)
        own = f"?token={session['participant_token']}&identity=else"
        async with (
            ready(host, audio(session, f"?token={link['bearer']}&identity=bob")) as bob,
            ready(host, audio(session, own)) as ann,
        ):
            assert (bob["identity"], ann["identity"]) == ("bob", session["identity"])
        elsewhere = await refusal(host, audio(another, f"?token={link['bearer']}"))
        await asked(host, "DELETE", f"/sessions/{session['id']}/guests/{link['id']}", key)
        revoked = await refusal(host, audio(session, f"?token={link['bearer']}"))

    assert elsewhere.json()["error"] == "session_unknown"
    assert revoked.status_code == 401


async def test_the_hosts_worker_is_asked_first(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """The worker of the room's host is asked first, and another one where it refuses."""
    async with service(settings) as host, running(settings, "worker-2") as other:
        session = await opened(host)
        await write_heartbeat(redis, worker, hosts={session["room"]: 0})
        await beat(redis, "worker-2", slots_total=9, slots_free=9, chat_url=other.url)
        async with ready(host, audio(session)):
            assert (clients(worker), clients(other)) == (1, 0)
            worker.admission.open = False
            async with ready(host, audio(session)):
                assert (clients(worker), clients(other)) == (1, 1)


def clients(worker: Worker) -> int:
    """Return how many clients a worker has in rooms."""
    return len(worker.server._room_clients)


async def test_words_that_come_after_the_end_come_before_ended(
    settings: Settings, redis: Redis, worker: Worker
) -> None:
    """Words that a host writes after the session's end come to a client before `ended`."""
    async with service(settings) as host:
        session = await opened(host)
        room = session["room"]
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(f"ws://{host}{audio(session)}") as socket,
        ):
            await next_told(socket, "ready")
            await write_heartbeat(redis, worker, hosts={room: 0})
            await asked(host, "DELETE", f"/sessions/{session['id']}", {})
            await asyncio.sleep(0.5)
            await EventStore(redis).add(room, words("One more thing."))
            await write_heartbeat(redis, worker)
            told = [(await next_told(socket, kind))["type"] for kind in ("transcript", "ended")]
            await socket.receive()

    assert told == ["transcript", "ended"]
    assert socket.close_code == 1000


async def test_without_livekit_the_reason_is_told(
    settings: Settings, worker: Worker, redis: Redis, settings_for: Any
) -> None:
    """A client whose participant cannot join LiveKit gets an error with a code before the end."""
    lost = settings.model_copy(update={"livekit_url": "ws://127.0.0.1:1"})
    async with service(settings) as host, running(lost) as without:
        await write_heartbeat(redis, without)
        session = await opened(host)
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(f"ws://{host}{audio(session)}") as socket,
        ):
            told = await next_told(socket, "error")
            await socket.receive()

    assert told["code"] == "failed"
    assert told["detail"].startswith("LiveKit")
    assert socket.close_code == 1011


@pytest.mark.parametrize("code", ["idle", "disconnected", "bad_sound", "too_long"])
async def test_an_error_is_told_before_the_end(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """A client that sends nothing, no Ogg or too much, or reads nothing, gets an error's code."""
    idle_s = 0.5 if code == "idle" else 30.0
    if code == "disconnected":
        monkeypatch.setattr(client, "TAKEN_WITHIN_S", 0.2)
        monkeypatch.setattr(aiohttp.web.WebSocketResponse, "send_bytes", stuck)
    impatient = settings.model_copy(update={"chat_idle_s": idle_s})
    async with service(settings) as host, running(impatient) as worker:
        await write_heartbeat(redis, worker)
        path = audio(await opened(host), "?format=opus")
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(f"ws://{host}{path}") as socket,
        ):
            if code == "bad_sound":
                await socket.send_bytes(b"RIFF")
            if code == "too_long":
                await socket.send_bytes(bytes(70_001))
            told = await next_told(socket, "error")

    assert told["code"] == code
    assert told["detail"]


async def stuck(*_: object) -> None:
    """Send nothing, as to a client that does not read."""
    await asyncio.sleep(3600)
