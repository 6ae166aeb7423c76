"""What a person can do with personas in a call: add them, hear them and remove them."""

import pytest
from playwright.async_api import expect

from harness.stack import Stack
from tests.browser.rooms import latest_session, service_of
from tests.browser.visit import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_each_persona_of_the_call_has_a_tile_and_is_heard(visit: Visit, stack: Stack) -> None:
    """So it is with two from the start and with added ones, by the page or by an application.

    A removed persona loses its tile; the page cannot remove the last one.
    """
    await visit.call("Assistant", "Astronaut")
    labels = visit.page.locator(".seat .label")
    await expect(labels).to_have_text(["Assistant", "Astronaut"])
    await visit.hears(voices=2)
    await visit.press("More for Assistant")
    await visit.press("Remove from the call")
    await expect(labels).to_have_text(["Astronaut"])
    await visit.press("Add a voice")
    await visit.page.get_by_role("dialog").get_by_role("button", name="Chef").click()
    await expect(labels).to_have_text(["Astronaut", "Chef"])
    session = f"/sessions/{(await latest_session(stack))['id']}"
    async with service_of(stack) as http:
        astronaut, chef = (await http.get(session)).json()["personas"]
        (await http.delete(f"{session}/personas/{astronaut['id']}")).raise_for_status()
        await expect(labels).to_have_text(["Chef"])
        added = await http.post(f"{session}/personas", json={"personas": ["teacher"]})
        added.raise_for_status()
        await expect(labels).to_have_text(["Chef", "Teacher"])
        await visit.hears(voices=4)
        (await http.delete(f"{session}/personas/{chef['id']}")).raise_for_status()
    await expect(labels).to_have_text(["Teacher"])
    await visit.press("More for Teacher")

    await expect(visit.page.get_by_role("button", name="Start fresh")).to_be_visible()
    await expect(visit.page.get_by_role("button", name="Remove from the call")).to_have_count(0)
