"""Each state as a picture, in both themes and two sizes, into `test-results/`, to be looked at.

A picture of a state that does not come is the failure; how it looks is for people to judge.
"""

import pytest
from playwright.async_api import Browser, ViewportSize

from protocol.settings import PROJECT
from tests.browser.conftest import DESKTOP, open_visit
from tests.browser.visit import Visit
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

FOLDER = PROJECT / "test-results"
SIZES = {"desktop": DESKTOP, "phone": ViewportSize(width=390, height=844)}
NARROWEST = ViewportSize(width=360, height=640)


async def picture(visit: Visit, state: str) -> None:
    """Take a state in every theme and size."""
    for name, size in SIZES.items():
        await visit.page.set_viewport_size(size)
        for theme in ("light", "dark"):
            await visit.page.emulate_media(color_scheme=theme)
            path = FOLDER / f"{state}-{name}-{theme}.png"
            await visit.page.screenshot(path=path, animations="disabled")
    await visit.page.set_viewport_size(NARROWEST)
    too_wide = "document.documentElement.scrollWidth > innerWidth"
    assert not await visit.page.evaluate(too_wide), f"{state} does not fit a phone of 360 px"
    await visit.page.set_viewport_size(DESKTOP)


async def test_a_call_from_start_to_end(visit: Visit) -> None:
    """Start, warming up, live and ended can be looked at, and fit a narrow phone."""
    await visit.pick("Assistant", "Astronaut")
    await picture(visit, "start")
    with visit.stack.worker_frozen():
        await visit.press("Start talking")
        await visit.reaches("warming")
        await picture(visit, "warming")
    await visit.is_answered()
    await visit.sees_words(8)
    await picture(visit, "live")
    await visit.press("Hang up")
    await visit.reaches("ended")
    await picture(visit, "ended")


async def test_connecting(visit: Visit) -> None:
    """While the server thinks about a place, the page says so."""
    await visit.page.route("**/sessions", lambda _: None)  # never answered
    await visit.press("Start talking")
    await visit.reaches("connecting")
    await visit.sees("Asking for a place")
    await picture(visit, "connecting")


async def test_full(browser: Browser, stack: Stack) -> None:
    """Full can be looked at."""
    async with open_visit(browser, stack) as first, open_visit(browser, stack) as second:
        await first.call("Assistant", "Chef", "Teacher")
        await second.sees("All places are taken")
        await picture(second, "taken")
        await second.press("Wait in line")
        await second.sees("You are next in line.")
        await picture(second, "full")


async def test_refused_microphone(deaf_browser: Browser, stack: Stack) -> None:
    """An error can be looked at."""
    async with open_visit(deaf_browser, stack) as visit:
        await visit.press("Start talking")
        await visit.reaches("error")
        await picture(visit, "error")


async def test_no_server(visit: Visit) -> None:
    """A server that stopped answering can be looked at."""
    await visit.page.route("**/api/config", lambda route: route.abort())
    await visit.sees("The server does not answer")
    await picture(visit, "no-server")


async def test_disconnected(visit: Visit) -> None:
    """A call that the server ended can be looked at."""
    await visit.call("Assistant")
    await visit.sees_words(3)
    await visit.close_rooms()
    await visit.reaches("disconnected")
    await picture(visit, "disconnected")
