"""The page's messages about faults: the reason in words, and what to do."""

from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, expect

from harness.stack import Stack
from tests.browser.conftest import open_visit
from tests.browser.rooms import becomes, has_ended, service_of
from tests.browser.visit import WITHIN_MS, Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVERYBODY = ("Assistant", "Chef", "Teacher")  # every place of the stack
FULL = "All places are taken"


async def test_who_finds_all_places_taken_waits_in_line(browser: Browser, stack: Stack) -> None:
    """A full house has a line: one sees one's place in it, and is answered when it is free.

    A link into a room that is there leads past it.
    """
    # A room of its own: that of an earlier test may not be over yet, with fewer personas.
    link = f"{stack.url}/?room=hall&persona={','.join(EVERYBODY).lower()}"
    async with open_visit(browser, stack, link) as first, open_visit(browser, stack) as second:
        await first.join("Ann")
        await second.sees(FULL)
        await second.page.goto(link)
        join = second.page.get_by_role("button", name="Join the room")
        await expect(join).to_be_enabled(timeout=WITHIN_MS)
        await second.page.goto(stack.url)
        await second.sees(FULL)
        await second.pick("Chef")
        await second.press("Wait in line")
        await second.reaches("full")
        await second.sees("You are next in line.")
        await first.press("Hang up")

        await second.reaches("live")


async def test_a_guest_link_leads_into_its_room_until_that_is_full(
    browser: Browser, stack: Stack
) -> None:
    """A room for one person: the first guest talks, and the second reads that the room is full."""
    async with service_of(stack) as http:
        asked = {"max_people": 1, "personas": ["chef"]}
        session = (await http.post("/sessions", json=asked)).json()
        bearer = (await http.post(f"/sessions/{session['id']}/guests")).json()["bearer"]
    link = f"{stack.url}/?room={session['room']}#guest={bearer}"
    async with (
        open_visit(browser, stack, link) as first,
        open_visit(browser, stack, link) as second,
    ):
        await first.join("Gus")
        await second.press("Join the room")
        await second.reaches("error")

        await second.sees("The room is full")


async def test_a_refused_microphone_is_told(deaf_browser: Browser, stack: Stack) -> None:
    """Without the microphone there is no call and no place taken; the page says how to allow it."""
    async with open_visit(deaf_browser, stack) as visit:
        await visit.press("Start talking")
        await visit.reaches("error")

        await visit.sees("Your browser or system blocked the microphone")
        await visit.focus_is_kept()
        await becomes(lambda: has_ended(stack))


async def test_a_page_without_https_is_told(browser: Browser, stack: Stack) -> None:
    """Where the browser gives no microphone for want of https, the page says so."""
    url = f"http://rooms.test:{urlsplit(stack.url).port}"
    async with open_visit(browser, stack, url) as visit:
        await visit.press("Start talking")
        await visit.reaches("error")

        await visit.sees("This page is not secure")


async def test_a_room_closed_by_the_server_is_told(visit: Visit, stack: Stack) -> None:
    """A call that the server ends shows why, keeps its words, and can be started again."""
    await visit.call("Assistant")
    await visit.sees_level(".seat[data-identity^=agent-]")
    await stack.close_rooms()
    await visit.reaches("disconnected")
    await visit.sees("The room was closed")

    await visit.call_again()
