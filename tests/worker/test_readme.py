"""What README.md shows is what one can do: its commands are run as they stand there."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from harness.person import eventually, joined
from harness.stack import Stack, start_stack
from protocol.events import SaidEvent, TranscriptEvent, read_event

README = Path("README.md").read_text(encoding="utf-8")
STATUS_TOLD = 'curl() { command curl -w "%{stderr}%{http_code}\\n" "$@"; }\n'
ENDS_WITHIN_S = 120.0


def commands() -> str:
    """The life of a session."""
    [block] = re.findall(r"```sh\n(S=http.*?)```", README, re.DOTALL)
    return block


@pytest.fixture(scope="module")
def pocket(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """The product as `make run` starts it, with places for three personas."""
    with start_stack(tmp_path_factory.mktemp("readme"), model="pocket", capacity=3) as stack:
        yield stack


async def opened(session: Path) -> dict[str, str]:
    """What `curl` was answered, once it is written."""
    await eventually(lambda: session.is_file() and written(session).endswith("}"), "a session")
    return json.loads(written(session))


def written(path: Path) -> str:
    """What a file holds."""
    return path.read_text(encoding="utf-8")


async def test_the_life_of_a_session(pocket: Stack, tmp_path: Path) -> None:
    """Opened, joined, changed, told what to say, followed and ended, as README.md has it."""
    script = commands().replace("http://localhost:8080", pocket.url)
    bash = await asyncio.create_subprocess_exec(
        "bash",
        "-uc",
        STATUS_TOLD + script,
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    session = await opened(tmp_path / "session.json")
    async with joined(session["server_url"], session["participant_token"]):
        told, statuses = await asyncio.wait_for(bash.communicate(), ENDS_WITHIN_S)

    codes = statuses.decode().split()
    looks = len(codes) - 7  # until the personas are there
    assert codes == ["201"] + ["200"] * looks + ["201", "202", "200", "202", "202", "204"]
    assert f"Join: {pocket.url}/?room={session['room']}" in told.decode()
    events = [read_event(each) for each in re.findall(r"^data: (.*)$", told.decode(), re.MULTILINE)]
    assert [each.whole for each in events if isinstance(each, SaidEvent)] == [True]
    [line] = re.findall(r"^LINE='(.*)'$", script, re.MULTILINE)
    read = [each.text for each in events if isinstance(each, TranscriptEvent) and each.final]
    assert line in " ".join(read)
