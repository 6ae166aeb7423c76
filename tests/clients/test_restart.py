"""LiveKit dies and is started again at its address, in the middle of a call."""

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser

from harness import servers
from harness.stack import Stack, start_stack
from tests.clients.call import open_call

pytestmark = pytest.mark.asyncio(loop_scope="session")


@contextmanager
def livekit_restarted(stack: Stack, folder: Path) -> Generator[None]:
    """Kill LiveKit; start another one at its port."""
    os.kill(stack.livekit.pid, signal.SIGKILL)
    with servers.start_livekit(folder, webhook_url=f"{stack.url}/webhook", port=stack.livekit.port):
        yield


@pytest.fixture
def killable(tmp_path: Path, frontend: str) -> Generator[Stack]:
    """Start a product of the test's own, whose LiveKit may be killed."""
    with start_stack(tmp_path, model="echo", capacity=1, cors_origins=frontend) as stack:
        yield stack


async def test_a_call_outlives_its_sfu(
    browser: Browser, killable: Stack, frontend: str, tmp_path: Path
) -> None:
    """After LiveKit's restart the client and the personas join again, and the voice is heard."""
    # useAgent counts each such return as an agent that left (components-react 2.9.24 useAgent.ts),
    # whichever agent it is; useVoiceAssistant does not.
    folder = tmp_path / "again"
    folder.mkdir()
    async with open_call(browser, killable, frontend) as call:
        await call.start()
        await call.hears(voices=1)
        with livekit_restarted(killable, folder):
            await call.sees("seen.connection.at(-1).state !== 'connected'")
            await call.sees("seen.connection.at(-1).state === 'connected'")

            await call.sees("['listening', 'speaking'].includes(seen.assistant.at(-1).state)")
            await call.hears(voices=2)
