"""What a press sends: a second one before the first is over sends nothing.

A line that is typed to the room: `test_call.py`.
"""

from collections import Counter

import pytest
from playwright.async_api import Page, Request, expect

from harness.stack import Stack
from tests.browser.rooms import latest_session, service_of
from tests.browser.visit import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

LINE = "Dinner is ready."
SAID = "It will be said at the next pause."
FRESH = "The memory of this conversation is cleared."


def count_sent(page: Page) -> Counter[str]:
    """Return a counter of the requests that change something, by method and end of the path."""
    sent: Counter[str] = Counter()

    def note(request: Request) -> None:
        if request.method == "POST":
            sent[request.url.rpartition("/")[2]] += 1
        elif request.method == "DELETE":
            sent["end" if "/personas/" not in request.url else "remove"] += 1

    page.on("request", note)
    return sent


async def test_a_second_press_sends_nothing(visit: Visit, stack: Stack) -> None:
    """Neither by keys nor by clicks. A line to say that failed stays; one that went out is said."""
    await visit.call("Assistant", "Chef")
    session = (await latest_session(stack))["id"]
    await visit.press("More for Chef")
    await press_keys(visit)
    await click_twice(visit)
    async with service_of(stack) as http:
        events = await http.get(f"/sessions/{session}/events", params={"follow": False})

    assert '"change":"say"' in events.text
    assert '"change":"forget"' in events.text


async def press_keys(visit: Visit) -> None:
    """Press Enter in the sheet, again and again and held; each is sent once."""
    page = visit.page
    line = page.get_by_role("textbox", name="A sentence to say")
    await page.route("**/say", lambda route: route.abort())
    await line.fill(LINE)
    await line.press("Enter")
    await visit.sees("It is not running, or the network does not reach it.")
    await expect(line).to_have_value(LINE)
    await page.unroute("**/say")
    await page.wait_for_timeout(600)
    sent = count_sent(page)
    for _ in range(4):
        await page.keyboard.down("Enter")  # the first one pressed, then held
    await page.keyboard.up("Enter")
    await page.keyboard.press("Enter")
    await visit.sees(SAID)
    await expect(page.locator("[role=log]")).to_contain_text(LINE)
    await page.get_by_role("button", name="Start fresh").focus()
    for _ in range(12):
        await page.keyboard.down("Enter")
        await page.wait_for_timeout(80)
    await page.keyboard.up("Enter")
    await visit.sees(FRESH)

    assert sent == {"say": 1, "forget": 1}


async def click_twice(visit: Visit) -> None:
    """Click twice on each button: the first click's answer may be there before the second."""
    page = visit.page
    await page.wait_for_timeout(600)
    sent = count_sent(page)

    async def double(name: str) -> None:
        await page.get_by_role("button", name=name, exact=True).dblclick(delay=60)

    line = page.get_by_role("textbox", name="A sentence to say")
    await line.fill(LINE)
    await double("Say this")
    await visit.sees(SAID)
    await expect(line).to_have_value("")
    await double("Start fresh")
    await visit.sees(FRESH)
    await double("Remove from the call")
    await expect(page.locator(".seat .label")).to_have_text(["Assistant"])
    await double("Mute Assistant for everyone")
    await expect(page.get_by_role("button", name="Unmute Assistant for everyone")).to_be_visible()
    await visit.press("Add a voice")
    await page.get_by_role("dialog").get_by_role("button", name="Teacher").dblclick(delay=60)
    await expect(page.locator(".seat .label")).to_have_text(["Assistant", "Teacher"])
    await double("Hang up")
    await visit.reaches("ended")
    await double("4 of 5")
    await visit.sees("Thank you.")

    asked = ("mute", "say", "forget", "remove", "personas", "end", "rating")
    assert sent == dict.fromkeys(asked, 1)
