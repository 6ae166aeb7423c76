"""High contrast: where the system chooses all colours, what is chosen still looks chosen."""

import pytest

from tests.browser.looks import looks_otherwise
from tests.browser.visit import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_chosen_controls_look_different_in_forced_colours(visit: Visit) -> None:
    """A card's tick and a switch look different once they are chosen; a tab: `test_live.py`."""
    page = visit.page
    await page.emulate_media(forced_colors="active", reduced_motion="reduce")
    card = page.locator(".card[data-persona=chef]")
    await page.locator("summary", has_text="Microphone and sound").click()
    switch = page.locator(".switch", has_text="Suppress noise")
    looks = {
        "tick": await looks_otherwise(card.locator(".tick"), card),
        "switch": await looks_otherwise(switch, switch),
    }

    assert looks == {"tick": True, "switch": True}
