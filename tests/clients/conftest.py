"""The product, and a frontend at an origin of its own, for LiveKit's unmodified clients."""

import shutil
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from deploy import installers
from harness import servers
from harness.stack import Stack, start_stack
from tests.browser.conftest import browser as browser  # the same fixtures
from tests.browser.conftest import deaf_browser as deaf_browser
from tests.clients.call import Call, open_call
from tests.clients.packages import HERE, bundle, serving

SLOTS = 2


@pytest.fixture(scope="package")
def frontend(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Serve a page made of LiveKit's packages alone, and the plain example; yield the origin."""
    folder: Path = tmp_path_factory.mktemp("frontend")
    bundle("call", folder)
    shutil.copy(installers.PROJECT / "examples" / "talk.html", folder)
    shutil.copy(HERE / "node_modules/livekit-client/dist/livekit-client.umd.js", folder)
    with serving(folder, servers.free_port()) as origin:
        yield origin


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, frontend: str) -> Generator[Stack]:
    """Start the product with personas that talk in turns; the frontend may ask for tokens."""
    with start_stack(
        tmp_path_factory.mktemp("clients"),
        model="echo",  # the name alone; the scripted model is used
        capacity=SLOTS,
        worker_module="tests.worker.scripted",
        cors_origins=frontend,
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def idle(stack: Stack) -> None:
    """Wait until no slot is used by the call of an earlier test."""
    await stack.slots_used_become(0)


@pytest_asyncio.fixture(loop_scope="session")
async def call(browser: Browser, stack: Stack, frontend: str, idle: None) -> AsyncGenerator[Call]:
    """Open the frontend in a browser with a microphone."""
    async with open_call(browser, stack, frontend) as call:
        yield call
