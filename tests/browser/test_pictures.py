"""Each state in both themes and two sizes: it can be used by everybody, and be looked at.

Pictures go into `test-results/`. A state that does not come, that axe-core finds fault with or that
does not fit a narrow phone is the failure; how it looks is for people to judge.
"""

import pytest
from playwright.async_api import Browser, ViewportSize

from harness.stack import Stack
from protocol.config.settings import PROJECT
from tests.browser.axe import violations
from tests.browser.conftest import DESKTOP, open_visit
from tests.browser.visit import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

FOLDER = PROJECT / "test-results"
PHONE = ViewportSize(width=360, height=740)
NARROW = "document.documentElement.scrollWidth <= innerWidth"


async def picture(visit: Visit, state: str) -> None:
    """Take a state in every theme and size, and measure it in each theme."""
    page = visit.page
    for name, size in (("phone", PHONE), ("desktop", DESKTOP)):
        await page.set_viewport_size(size)
        for theme in ("light", "dark"):
            await page.emulate_media(color_scheme=theme)
            path = FOLDER / f"{state}-{name}-{theme}.png"
            await page.screenshot(path=path, animations="disabled")
            if name == "phone":
                assert await violations(page) == [], f"{state}, {theme}"
        assert await page.evaluate(NARROW), f"{state} is too wide for {size['width']} px"


async def test_before_a_call(visit: Visit) -> None:
    """Start, with everything that opens there."""
    await visit.pick("Assistant", "Astronaut")
    await picture(visit, "start")
    await visit.page.get_by_role("checkbox", name="Your own").check()
    for fold in await visit.page.locator("summary").all():
        await fold.click()
    await picture(visit, "start-open")


async def test_a_call_from_start_to_end(visit: Visit, stack: Stack) -> None:
    """Warming up, live with all its panels and sheets, and ended."""
    await visit.pick("Assistant", "Astronaut")
    with stack.worker_frozen():
        await visit.press("Start talking")
        await visit.reaches("warming")
        await picture(visit, "warming")
    await visit.is_answered()
    await visit.sees_words(8)
    await picture(visit, "live")
    for tab in ("Figures", "Log"):
        await visit.press_tab(tab)
        await picture(visit, tab.lower())
    await visit.press_tab("Words")
    for button in ("Sound settings", "Invite somebody"):
        await visit.press(button)
        await picture(visit, button.split()[0].lower())
        await visit.press("Close")
    await visit.press("Hang up")
    await visit.reaches("ended")
    await picture(visit, "ended")


async def test_the_door_of_a_link(browser: Browser, stack: Stack) -> None:
    """A link's room, with whom it names."""
    url = f"{stack.url}/?room=kitchen&persona=chef"
    async with open_visit(browser, stack, url) as visit:
        await picture(visit, "join")


async def test_connecting(visit: Visit) -> None:
    """While the server thinks about a place, the page says so."""
    await visit.page.route("**/sessions", lambda _: None)  # never answered
    await visit.press("Start talking")
    await visit.reaches("connecting")
    await visit.sees("Asking for a place")
    await picture(visit, "connecting")


async def test_full(browser: Browser, stack: Stack) -> None:
    """Taken, and in line."""
    async with open_visit(browser, stack) as first, open_visit(browser, stack) as second:
        await first.call("Assistant", "Chef", "Teacher")
        await second.sees("All places are taken")
        await picture(second, "taken")
        await second.press("Wait in line")
        await second.sees("You are next in line.")
        await picture(second, "full")


async def test_refused_microphone(deaf_browser: Browser, stack: Stack) -> None:
    """An error."""
    async with open_visit(deaf_browser, stack) as visit:
        await visit.press("Start talking")
        await visit.reaches("error")
        await picture(visit, "error")


async def test_no_server(visit: Visit) -> None:
    """A server that stopped answering."""
    await visit.page.route("**/api/config", lambda route: route.abort())
    await visit.sees("The server does not answer")
    await picture(visit, "no-server")


async def test_disconnected(visit: Visit, stack: Stack) -> None:
    """A call that the server ended."""
    await visit.call("Assistant")
    await visit.sees_words(3)
    await stack.close_rooms()
    await visit.reaches("disconnected")
    await picture(visit, "disconnected")
