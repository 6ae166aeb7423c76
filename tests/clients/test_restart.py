"""LiveKit itself goes down and comes back at its address, in the middle of a call."""

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
    """Kill the SFU and start another one where it was."""
    os.kill(stack.livekit.pid, signal.SIGKILL)
    with servers.start_livekit(folder, webhook_url=f"{stack.url}/webhook", port=stack.livekit.port):
        yield


@pytest.fixture
def mortal(tmp_path: Path, frontend: str) -> Generator[Stack]:
    """A product of the test's own, whose LiveKit may die."""
    with start_stack(tmp_path, model="echo", capacity=1, cors_origins=frontend) as stack:
        yield stack


async def test_a_call_outlives_its_sfu(
    browser: Browser, mortal: Stack, frontend: str, tmp_path: Path
) -> None:
    """After LiveKit's restart client and host find each other again, and the voice goes on.

    useAgent counts every such return as an agent that left (components-react 2.9.24 useAgent.ts),
    whichever agent it is; useVoiceAssistant does not.
    """
    folder = tmp_path / "again"
    folder.mkdir()
    async with open_call(browser, mortal, frontend) as call:
        await call.start()
        await call.hears(voices=1)
        with livekit_restarted(mortal, folder):
            await call.sees("seen.connection.at(-1).state !== 'connected'")
            await call.sees("seen.connection.at(-1).state === 'connected'")

            await call.sees("['listening', 'speaking'].includes(seen.assistant.at(-1).state)")
            await call.hears(voices=2)
