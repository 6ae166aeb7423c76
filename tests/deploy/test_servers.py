"""The servers that other tests use."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis.asyncio
from livekit import api

from harness import servers
from tests.conftest import SettingsFor, StartLiveKit


async def test_livekit_answers_its_server_api(livekit: servers.LiveKit) -> None:
    """The LiveKit fixture accepts its own key and makes a room."""
    async with livekit.client() as lkapi:
        room = await lkapi.room.create_room(api.CreateRoomRequest(name="fixture-room"))

    assert room.name == "fixture-room"


async def test_redis_stores_a_value(redis_url: str) -> None:
    """The redis fixture stores and returns a value."""
    async with redis.asyncio.from_url(redis_url) as client:
        await client.set("fixture-key", "kept", ex=60)

        assert await client.get("fixture-key") == b"kept"


def test_settings_point_at_the_servers_and_nowhere_else(
    livekit: servers.LiveKit,
    redis_url: str,
    settings_for: SettingsFor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A test's settings come from the test, whatever the environment says."""
    monkeypatch.setenv("LIVEKIT_URL", "ws://elsewhere:1")
    monkeypatch.setenv("CAPACITY", "3")

    settings = settings_for(livekit=livekit, redis_url=redis_url, port=1234)

    assert (livekit.url, redis_url, 1234, None) == (
        settings.livekit_url,
        settings.redis_url,
        settings.port,
        settings.capacity,
    )


def test_a_livekit_ends_with_its_block(start_livekit: StartLiveKit) -> None:
    """A LiveKit that a test starts ends with its `with` block."""
    with start_livekit() as livekit:
        process = psutil.Process(livekit.pid)

        assert process.name() == "livekit-server"
    assert not process.is_running()


def test_a_server_that_cannot_start_fails_with_its_message(start_livekit: StartLiveKit) -> None:
    """A server with a wrong configuration fails with its own message."""
    with (
        pytest.raises(servers.ServerFailed, match="no_such_key"),
        start_livekit(settings={"no_such_key": 1}),
    ):
        raise AssertionError("started with an unknown key")


def test_a_killed_test_run_leaves_no_server(tmp_path: Path) -> None:
    """A test's redis ends when its process is killed."""
    program = (
        "import sys, pathlib\n"
        "from harness import servers\n"
        "with servers.start_redis(pathlib.Path(sys.argv[1])) as url:\n"
        "    print(url, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline().startswith("redis://")
        [child] = psutil.Process(run.pid).children()
        os.kill(run.pid, signal.SIGKILL)
    servers.wait_until(lambda: not child.is_running(), "the redis of a killed run is gone")
