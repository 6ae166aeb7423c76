"""docs/sessions.md's commands work: they are run as they stand there."""

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

PAGE = Path("docs/sessions.md").read_text(encoding="utf-8")
PRINT_STATUS = 'curl() { command curl -w "%{stderr}%{http_code}\\n" "$@"; }\n'
ENDS_WITHIN_S = 120.0


def commands() -> str:
    """Return the commands of the section on a session's life."""
    [block] = re.findall(r"```sh\n(S=http.*?)```", PAGE, re.DOTALL)
    return block


@pytest.fixture(scope="module")
def pocket(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Start the product as `make run` does, with slots for three personas."""
    with start_stack(tmp_path_factory.mktemp("session"), model="pocket", capacity=3) as stack:
        yield stack


async def opened(session: Path) -> dict[str, str]:
    """Return `curl`'s answer once it is written."""
    await eventually(lambda: session.is_file() and text_of(session).endswith("}"), "a session")
    return json.loads(text_of(session))


def text_of(path: Path) -> str:
    """Return the text of a file."""
    return path.read_text(encoding="utf-8")


async def test_the_life_of_a_session(pocket: Stack, tmp_path: Path) -> None:
    """The page's commands open a session, change it, have a line said, follow and end it."""
    script = commands().replace("http://localhost:8080", pocket.url)
    bash = await asyncio.create_subprocess_exec(
        "bash",
        "-uc",
        PRINT_STATUS + script,
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    session = await opened(tmp_path / "session.json")
    async with joined(session["server_url"], session["participant_token"]):
        output, statuses = await asyncio.wait_for(bash.communicate(), ENDS_WITHIN_S)

    codes = statuses.decode().split()
    looks = len(codes) - 7  # until the personas are there
    assert codes == ["201"] + ["200"] * looks + ["201", "202", "200", "202", "202", "204"]
    assert f"Join: {pocket.url}/?room={session['room']}" in output.decode()
    events = [
        read_event(each) for each in re.findall(r"^data: (.*)$", output.decode(), re.MULTILINE)
    ]
    assert [each.whole for each in events if isinstance(each, SaidEvent)] == [True]
    [line] = re.findall(r"^LINE='(.*)'$", script, re.MULTILINE)
    read = [each.text for each in events if isinstance(each, TranscriptEvent) and each.final]
    assert line in " ".join(read)
