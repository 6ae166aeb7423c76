"""The product and a real Chromium with a microphone file, which the browser tests share."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ViewportSize

from harness.stack import Stack, start_stack
from tests.browser.chromium import chromium_that_hears, chromium_that_refuses
from tests.browser.microphone import write_voice
from tests.browser.visit import Visit

DESKTOP = ViewportSize(width=1280, height=800)
SLOTS = 3
FEW_FRAMES = Path(__file__).with_name("frames.js")


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Start the product with personas that speak and pause in turns."""
    folder = tmp_path_factory.mktemp("stack")
    with start_stack(
        folder,
        model="echo",  # not loaded
        capacity=SLOTS,
        worker_module="tests.worker.scripted",
        record_dir=str(folder / "recordings"),
        ratings="true",
    ) as running:
        yield running


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def idle(stack: Stack) -> None:
    """Wait until the slots of an earlier test's call are free."""
    await stack.slots_used_become(0)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Browser]:
    """Run a Chromium that allows every microphone; the microphone is a file."""
    voice = write_voice(tmp_path_factory.mktemp("microphone") / "voice.wav")
    async with chromium_that_hears(voice) as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def deaf_browser() -> AsyncGenerator[Browser]:
    """Run a Chromium that has a microphone and refuses it to every page."""
    async with chromium_that_refuses() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, stack: Stack) -> AsyncGenerator[Visit]:
    """Open the product's page."""
    async with open_visit(browser, stack) as visit:
        yield visit


@asynccontextmanager
async def open_visit(
    browser: Browser,
    stack: Stack,
    url: str | None = None,
    script: Path | None = None,
    locale: str = "en-US",
    motion: Literal["reduce", "no-preference"] = "reduce",
) -> AsyncGenerator[Visit]:
    """Open the page in a context of its own; `script` runs before the page's script.

    Where motion is not looked at, it is drawn seldom: a call costs a fifth less.
    """
    context = await browser.new_context(viewport=DESKTOP, locale=locale, reduced_motion=motion)
    try:
        if motion == "reduce":
            await context.add_init_script(path=FEW_FRAMES)
        if script:
            await context.add_init_script(path=script)
        yield await Visit(await context.new_page(), url or stack.url).open()
    finally:
        await context.close()
