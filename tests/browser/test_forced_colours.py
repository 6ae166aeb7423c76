"""High contrast: where the system chooses all colours, what is chosen still looks chosen."""

import pytest
from playwright.async_api import Locator

from harness.stack import Stack
from tests.browser.visit import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def looks_otherwise(shown: Locator, pressed: Locator) -> bool:
    """Press something; return whether a part of the page looks different afterwards."""
    page = shown.page
    await page.mouse.move(0, 0)
    before = await shown.screenshot(animations="disabled")
    await pressed.click()
    await page.mouse.move(0, 0)
    await page.evaluate("document.activeElement.blur()")
    return await shown.screenshot(animations="disabled") != before


async def test_chosen_controls_look_different_in_forced_colours(visit: Visit, stack: Stack) -> None:
    """A card's tick, a switch and a tab look different once they are chosen."""
    page = visit.page
    await page.goto(f"{stack.url}/?dev=1")
    await visit.may_start()
    await page.emulate_media(forced_colors="active", reduced_motion="reduce")
    card = page.locator(".card[data-persona=chef]")
    await page.locator("summary", has_text="Microphone and sound").click()
    switch = page.locator(".switch", has_text="Suppress noise")
    looks = {
        "tick": await looks_otherwise(card.locator(".tick"), card),
        "switch": await looks_otherwise(switch, switch),
    }
    await visit.call("Chef")
    tab = page.get_by_role("tab", name="Event log")
    looks["tab"] = await looks_otherwise(tab, tab)

    assert looks == {"tick": True, "switch": True, "tab": True}
