"""`/mcp`: its authentication, its refusals, and when the SDK is loaded."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from contextlib import asynccontextmanager

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from redis.asyncio import Redis

from protocol.commands import TAKEN, Answer, Command
from protocol.config.settings import Settings
from protocol.events import TranscriptEvent
from protocol.room_spec import RoomSpec, spec_key
from tests.token_service.auth.callers import Keys
from tests.token_service.players import beat, hosting, served
from token_service.app import create_app
from token_service.auth.callers import Scope
from token_service.refusals import Unavailable
from token_service.rooms.events import EventStore
from token_service.server.forwarded import Forwarded
from token_service.sessions.sessions import Sessions

INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


@pytest.fixture
async def url(keyed: Settings, keys: Keys, redis: Redis) -> AsyncGenerator[str]:
    """Serve a service that asks for API keys; yield its URL."""
    await beat(redis)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with served(create_app(keyed), listening):
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@asynccontextmanager
async def client(url: str, headers: dict[str, str]) -> AsyncGenerator[Client]:
    """Connect the SDK's client with these headers."""
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
    ):
        yield client


async def test_mcp_needs_a_bearer(url: str) -> None:
    """A request to `/mcp` without a bearer is refused with 401, and GET with 405."""
    async with httpx.AsyncClient(base_url=url) as http:
        answer = await http.post("/mcp", json=INITIALIZE)
        wrong = await http.get("/mcp")

    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("scope", "missing"),
    [(Scope.OBSERVE, "manage"), (Scope.MANAGE, "talk"), (Scope.TALK, "manage")],
)
async def test_a_tool_has_the_rights_of_its_callers_key(
    url: str, keys: Keys, redis: Redis, scope: Scope, missing: str
) -> None:
    """A tool is refused the scopes that the caller's key lacks, and the error names the scope.

    A key that could sign no link, and end no session, opens none.
    """
    async with client(url, keys.add("dashboard", scope)) as mcp:
        personas = await mcp.call_tool("list_personas")
        opened = await mcp.call_tool("open_session", {"personas": ["chef"]})

    assert not personas.is_error
    assert opened.is_error
    assert opened.content[0].text.endswith(f": The scope {missing!r} is required.")
    assert await redis.keys(spec_key("*")) == []


async def test_a_session_that_gets_no_link_is_ended(
    url: str, keys: Keys, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no link can be signed, its refusal is told, and the session that was opened ends."""

    async def refuses(*_: object) -> RoomSpec:
        raise Unavailable("too_much", "Too many bytes.", 60)

    monkeypatch.setattr(Sessions, "keep_for_guests", refuses)
    async with client(url, keys.add("one")) as mcp:
        opened = await mcp.call_tool("open_session", {"personas": ["chef"]})
    [key] = await redis.keys(spec_key("*"))

    assert opened.is_error and opened.content[0].text.endswith(": Too many bytes.")
    assert RoomSpec.model_validate_json(await redis.get(key)).ended


async def test_a_session_belongs_to_the_key_that_opened_it(url: str, keys: Keys) -> None:
    """A key neither reads nor ends a session that another key opened over MCP."""
    async with client(url, keys.add("one")) as mcp:
        opened = await mcp.call_tool("open_session", {"personas": ["chef"]})
    session = {"session_id": opened.structured_content["id"]}
    async with client(url, keys.add("two")) as mcp:
        seen = await mcp.call_tool("events", session)
        ended = await mcp.call_tool("end_session", session)

    for refused in (seen, ended):
        assert refused.is_error
        assert refused.content[0].text.endswith(": There is no such session.")


async def test_invalid_arguments_are_told_in_a_sentence(url: str, keys: Keys) -> None:
    """An unknown persona in a tool's arguments is refused with the choices."""
    async with client(url, keys.add("one")) as mcp:
        opened = await mcp.call_tool("open_session", {"personas": ["cheff"]})

    assert opened.is_error
    assert "cheff" in opened.content[0].text and "chef" in opened.content[0].text


async def test_a_session_id_leads_to_no_other_path(url: str, keys: Keys) -> None:
    """An id that holds another path is refused with what was expected, and nothing is done."""
    async with client(url, keys.add("one")) as mcp:
        opened = (await mcp.call_tool("open_session", {"personas": ["chef"]})).structured_content
        told = [
            await mcp.call_tool(tool, {"session_id": f"{opened['id']}{rest}"})
            for tool, rest in (
                ("end_session", "/people/ann"),
                ("end_session", "?a=b"),
                ("events", "/"),
            )
        ]

    assert [each.is_error for each in told] == [True] * 3
    assert all("session_id" in each.content[0].text for each in told)
    assert all("expected the id" in each.content[0].text for each in told)


async def test_a_link_that_cannot_be_made_opens_no_session(
    url: str, keys: Keys, redis: Redis
) -> None:
    """A link that is to live for too short or too long is refused before a session is opened."""
    async with client(url, keys.add("one")) as mcp:
        refused = [
            await mcp.call_tool("open_session", {"lives_s": lives_s}) for lives_s in (10, 86_401)
        ]

    assert [each.is_error for each in refused] == [True, True]
    assert await redis.keys(spec_key("*")) == []


def test_the_sdk_is_not_loaded_at_start() -> None:
    """The service starts without loading the MCP SDK."""
    imports = "import sys, token_service.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", imports], capture_output=True, check=True)
    found = set(done.stdout.decode().split())

    assert "token_service.mcp.endpoint" in found
    assert found.isdisjoint({"mcp", "mcp_types", "httpx2", "token_service.mcp.tools"})


async def test_tools_work_under_a_path(keyed: Settings, keys: Keys, redis: Redis) -> None:
    """Behind a proxy that serves the product at /voice, the link leads there, too."""
    await beat(redis)
    under = keyed.model_copy(update={"root_path": "/voice"})
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/voice"
        async with (
            served(Forwarded(create_app(under), under), listening),
            client(url, keys.add("one")) as mcp,
        ):
            opened = await mcp.call_tool("open_session", {"personas": ["chef"]})

    assert not opened.is_error, opened.content[0].text
    assert opened.structured_content["link"].startswith(f"{url}/?room=")


async def test_any_character_that_people_type_is_read(
    url: str, keys: Keys, own_redis_url: str
) -> None:
    """Some characters end a line for Python and not for server-sent events."""
    headers = keys.add("one")
    async with client(url, headers) as mcp:
        opened = (await mcp.call_tool("open_session", {"personas": ["chef"]})).structured_content
        fields = {"identity": "ann", "segment_id": "s", "final": True, "start_s": 0, "end_s": 0}
        said = TranscriptEvent(at_s=1.0, text="a\u2028b\x85c\x1dd: e", **fields)
        async with Redis.from_url(own_redis_url, decode_responses=True) as redis:
            await EventStore(redis).add(opened["room"], said)
        read = await mcp.call_tool("transcript", {"session_id": opened["id"]})

    assert not read.is_error, read.content[0].text
    assert [each["text"] for each in read.structured_content["result"]] == [said.text]


async def test_a_tool_is_one_request_however_often_it_looks(
    keyed: Settings, keys: Keys, redis: Redis, own_redis_url: str
) -> None:
    """Else three conversations at a time would reach the caller's limit, and lose an answer."""
    limited = keyed.model_copy(update={"rate_per_address": "9/minute"})
    await beat(redis)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with (
            served(create_app(limited), listening),
            client(url, keys.add("one")) as mcp,
        ):
            opened = await mcp.call_tool("open_session", {"personas": ["chef"]})
            session = opened.structured_content
            spec = RoomSpec.model_validate_json(await redis.get(spec_key(session["room"])))
            await beat(redis, hosts={spec.room: spec.generation})
            async with hosting(own_redis_url, spec, _taken):
                heard = await mcp.call_tool(
                    "converse", {"session_id": session["id"], "text": "Hi.", "wait_s": 3}
                )

    assert not heard.is_error, heard.content[0].text


async def test_an_answer_that_comes_after_the_end_is_read(
    url: str, keys: Keys, redis: Redis, own_redis_url: str
) -> None:
    """Words that are recognised late, after the session's end, are the answer all the same."""
    key = keys.add("one")
    async with client(url, key) as mcp:
        opened = (await mcp.call_tool("open_session", {"personas": ["chef"]})).structured_content
        room, session = opened["room"], {"session_id": opened["id"]}
        spec = RoomSpec.model_validate_json(await redis.get(spec_key(room)))
        await beat(redis, hosts={room: spec.generation})
        fields = {"identity": "ann", "segment_id": "s", "final": True, "start_s": 0, "end_s": 0}
        async with hosting(own_redis_url, spec, _taken):
            asked = asyncio.create_task(
                mcp.call_tool("converse", session | {"text": "Hi.", "wait_s": 30})
            )
            await asyncio.sleep(1)
            async with client(url, key) as other:
                await other.call_tool("end_session", session)
            await asyncio.sleep(1)
            await EventStore(redis).add(room, TranscriptEvent(at_s=1.0, text="Bye.", **fields))
            answered = await asked

    assert answered.structured_content["answer"] == "Bye."


def _taken(_: Command) -> Future[Answer]:
    future: Future[Answer] = Future()
    future.set_result(TAKEN)
    return future
