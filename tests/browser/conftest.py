"""The product and a real Chromium with a microphone file, shared by the browser tests."""

from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ViewportSize, async_playwright

from deploy import programs
from tests.browser.microphone import write_voice
from tests.browser.visit import Visit
from tests.stack import Stack, start_stack

DESKTOP = ViewportSize(width=1280, height=800)
QUIET = [
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # A name that is neither localhost nor https, and still this machine.
    "--host-resolver-rules=MAP rooms.test 127.0.0.1",
]

PLACES = 3


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """The product with its built-in model."""
    with start_stack(tmp_path_factory.mktemp("stack"), model="builtin", capacity=PLACES) as running:
        yield running


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def idle(stack: Stack) -> None:
    """No test has to share the places with the call of an earlier one."""
    await stack.slots_used_become(0)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Browser]:
    """A Chromium that allows every microphone; what it hears is a file."""
    async with chromium(microphone(tmp_path_factory.mktemp("microphone"))) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def deaf_browser() -> AsyncGenerator[Browser]:
    """A Chromium that has a microphone and refuses it to every page."""
    async with chromium(["--use-fake-device-for-media-stream"]) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, stack: Stack) -> AsyncGenerator[Visit]:
    """The page of the product, just opened."""
    async with open_visit(browser, stack) as visit:
        yield visit


def open_visit(
    browser: Browser, stack: Stack, url: str | None = None
) -> AbstractAsyncContextManager[Visit]:
    """Open a visit of its own: a context that shares nothing with others."""

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Visit]:
        context = await browser.new_context(viewport=DESKTOP)
        try:
            yield await Visit(await context.new_page(), stack).open(url)
        finally:
            await context.close()

    return opened()


def microphone(folder: Path) -> list[str]:
    """Arguments of a browser that allows a microphone whose sound is a file."""
    voice = write_voice(folder / "voice.wav")
    return [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={voice}",
    ]


@asynccontextmanager
async def chromium(arguments: list[str]) -> AsyncGenerator[Browser]:
    """A Chromium with further arguments, from its start to its end."""
    program: Path = programs.chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, headless=True, args=[*QUIET, *arguments]
        )
        yield browser
        await browser.close()
