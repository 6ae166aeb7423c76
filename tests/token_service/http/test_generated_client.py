"""A client that openapi-python-client generates from our document, against a running service."""

import asyncio
import importlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import Redis

from harness.servers import GivenSettings
from protocol.config.settings import Settings
from tests.token_service.auth.callers import Keys
from tests.token_service.players import beat, served
from token_service.app import create_app

TOOL = "openapi_python_client"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Generator[ModuleType]:
    """Generate the client, without any warning; return its package."""
    parent = tmp_path_factory.mktemp("generated")
    document, folder = parent / "openapi.json", parent / "generated_client"
    keys = Keys(parent / "keys.toml").path
    wants_keys = GivenSettings(auth_mode=("api_keys",), api_keys_file=keys)
    document.write_text(json.dumps(create_app(wants_keys).openapi()))
    command = [sys.executable, "-m", TOOL, "generate", "--meta", "none", "--fail-on-warning"]
    command += ["--path", str(document), "--output-path", str(folder)]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # with ruff, for the generator
    done = subprocess.run(command, env={**os.environ, "PATH": path}, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(parent))
        yield importlib.import_module(folder.name)


@pytest.fixture
async def client(
    generated: ModuleType, keyed: Settings, keys: Keys, redis: Redis
) -> AsyncGenerator[Any]:
    """Serve the service; yield the generated client with an API key."""
    await beat(redis)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with served(create_app(keyed), listening):
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            token = keys.add("app")["Authorization"].removeprefix("Bearer ")
            async with generated.AuthenticatedClient(base_url=url, token=token) as client:
                yield client


class Api:
    """The generated functions by operation id, and the generated models by name."""

    def __init__(self, package: str, client: Any) -> None:
        self._package, self._client = package, client
        self.models: Any = importlib.import_module(f"{package}.models")

    async def call(self, tag: str, operation: str, **arguments: Any) -> Any:
        """Call a generated function; return the status and the model of the answer."""
        module = importlib.import_module(f"{self._package}.api.{tag}.{operation}")
        async with asyncio.timeout(20):
            answer = await module.asyncio_detailed(client=self._client, **arguments)
        return SimpleNamespace(status=int(answer.status_code), value=answer.parsed)


@pytest.fixture
def api(generated: ModuleType, client: Any) -> Api:
    """Return the generated functions and models."""
    return Api(generated.__name__, client)


async def test_a_generated_client_opens_and_ends_a_session(api: Api) -> None:
    """The generated client opens, reads, mutes, lists and ends a session, and gets models back."""
    models = api.models
    config = (await api.call("status", "get_config")).value
    body = models.SessionRequest(name="Ann", personas=[models.AskedPersona(name="chef")])
    opened = (await api.call("sessions", "open_session", body=body)).value
    session = opened.id
    seen = (await api.call("sessions", "get_session", session_id=session)).value
    link = (await api.call("sessions", "sign_guest_link", session_id=session)).value
    mute = models.MuteRequest(muted=True)
    muted = (await api.call("sessions", "mute", session_id=session, body=mute)).value
    listed = (await api.call("sessions", "list_sessions")).value
    ended = await api.call("sessions", "end_session", session_id=session)

    assert config.ready and "chef" in [each.name for each in config.personas]
    assert (opened.state, opened.personas[0].name) == ("open", "chef")
    assert (seen.room, link.room) == (opened.room, opened.room)
    assert [each.muted for each in muted] == [True]
    assert [each.id for each in listed] == [session]
    assert ended.status == 204


async def test_a_generated_client_mints_tokens(api: Api) -> None:
    """The generated client gets a token for a body of nested models and for none."""
    agent = api.models.RequestedAgent(agent_name="moshi", metadata='{"persona": "teacher"}')
    room_config = api.models.RoomConfig(agents=[agent])
    body = api.models.TokenRequest(room_name="kitchen", room_config=room_config)
    asked = await api.call("token", "mint_token", body=body)
    default = await api.call("token", "mint_sandbox_token")

    assert (asked.status, asked.value.room_name) == (201, "kitchen")
    assert (default.status, default.value.participant_name) == (201, "Guest")


async def test_a_generated_client_reads_problems(api: Api) -> None:
    """The generated client reads refusals of each kind as problems with their codes."""
    models = api.models
    opened = (await api.call("sessions", "open_session", body=models.SessionRequest())).value
    say, absent = models.SayRequest(text="Hello."), models.SessionRequest(personas=["nobody"])
    refusals = [
        await api.call("sessions", "open_session", body=absent),
        await api.call("sessions", "get_session", session_id="unknown"),
        await api.call("sessions", "say", session_id=opened.id, body=say),
    ]

    assert {type(each.value) for each in refusals} == {models.Problem}
    assert [(each.status, each.value.error) for each in refusals] == [
        (400, "invalid_input"),
        (404, "session_unknown"),
        (409, "not_live"),
    ]


async def test_a_generated_client_reads_why_the_service_is_not_ready(
    api: Api, redis: Redis
) -> None:
    """The generated client reads the 503 of `/ready` as the model of its 200."""
    await beat(redis, state="loading_model")
    answer = await api.call("status", "get_readiness")

    assert (answer.status, answer.value.code) == (503, "loading_model")
