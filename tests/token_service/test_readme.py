"""What README.md shows is what one can do: its commands are run as they stand there."""

import asyncio
import os
import re
import socket
import sys
from pathlib import Path

from redis.asyncio import Redis

from protocol.settings import Settings
from tests.token_service.players import beat, served
from token_service.app import create_app

README = Path("README.md").read_text(encoding="utf-8")
STATUS_TOLD = 'curl() { command curl -w "%{stderr}%{http_code}\\n" "$@"; }\n'


def commands() -> str:
    """The life of a session."""
    [block] = re.findall(r"```sh\n(S=http.*?)```", README, re.DOTALL)
    return block


async def test_the_life_of_a_session(settings: Settings, redis: Redis, tmp_path: Path) -> None:
    """Opened, looked at, changed, followed and ended with `curl`, as README.md has it."""
    await beat(redis)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        script = commands().replace(":8080", f":{listening.getsockname()[1]}")
        async with served(create_app(settings), listening):
            bash = await asyncio.create_subprocess_exec(
                "bash",
                "-uc",
                STATUS_TOLD + script,
                cwd=tmp_path,
                env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            told, statuses = await bash.communicate()

    assert statuses.decode().split() == ["201", "200", "201"] + ["202"] * 3 + ["200", "204"]
    assert b"event: changed" in told
