"""What a press sends: a second one before the first is over sends nothing."""

from collections import Counter

import pytest
from playwright.async_api import Browser, Page, Request, expect

from harness.stack import Stack
from tests.browser.conftest import open_visit
from tests.browser.visit import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")


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


async def test_a_double_click_sends_once(visit: Visit) -> None:
    """So does each button of a call: the first click's answer may be there before the second."""
    page = visit.page
    await visit.call("Assistant", "Chef")
    sent = count_sent(page)

    async def double(name: str) -> None:
        await page.get_by_role("button", name=name, exact=True).dblclick(delay=60)

    await double("Mute Assistant for everyone")
    await expect(page.get_by_role("button", name="Unmute Assistant for everyone")).to_be_visible()
    await visit.press("More for Chef")
    line = page.get_by_role("textbox", name="A sentence to say")
    await line.fill("Dinner is ready.")
    await double("Say this")
    await visit.sees("It will be said at the next pause.")
    await expect(line).to_have_value("")
    await double("Start fresh")
    await visit.sees("The memory of this conversation is cleared.")
    await double("Remove from the call")
    await expect(page.locator(".seat .label")).to_have_text(["Assistant"])
    await visit.press("Add a voice")
    await page.get_by_role("dialog").get_by_role("button", name="Teacher").dblclick(delay=60)
    await expect(page.locator(".seat .label")).to_have_text(["Assistant", "Teacher"])
    await double("Hang up")
    await visit.reaches("ended")
    await double("4 of 5")
    await visit.sees("Thank you.")

    asked = ("mute", "say", "forget", "remove", "personas", "end", "rating")
    assert sent == dict.fromkeys(asked, 1)


async def test_enter_twice_or_held_sends_once(visit: Visit) -> None:
    """A line to say goes out once, however long or often its key is pressed; a failed one stays."""
    page = visit.page
    await visit.call("Chef")
    await visit.press("More for Chef")
    line = page.get_by_role("textbox", name="A sentence to say")
    await page.route("**/say", lambda route: route.abort())
    await line.fill("Dinner is ready.")
    await line.press("Enter")
    await visit.sees("It is not running, or the network does not reach it.")
    await expect(line).to_have_value("Dinner is ready.")
    await page.unroute("**/say")
    await page.wait_for_timeout(600)
    sent = count_sent(page)
    for _ in range(4):
        await page.keyboard.down("Enter")  # the first one pressed, then held
    await page.keyboard.up("Enter")
    await page.keyboard.press("Enter")
    await visit.sees("It will be said at the next pause.")
    await page.get_by_role("button", name="Start fresh").focus()
    for _ in range(12):
        await page.keyboard.down("Enter")
        await page.wait_for_timeout(80)
    await page.keyboard.up("Enter")
    await visit.sees("The memory of this conversation is cleared.")

    assert sent == {"say": 1, "forget": 1}


async def test_a_typed_line_goes_out_once(browser: Browser, stack: Stack) -> None:
    """Enter twice, and a double click on Send, give the room one line each."""
    url = f"{stack.url}/?room=typing&persona=chef"
    async with open_visit(browser, stack, url) as ann, open_visit(browser, stack, url) as bea:
        await ann.join("Ann")
        await bea.join("Bea")
        line = ann.page.get_by_role("textbox", name="Type to the room")
        await line.fill("By keys.")
        await line.press("Enter")
        await line.press("Enter")
        await line.fill("By mouse.")
        await ann.page.get_by_role("button", name="Send").dblclick(delay=60)
        for visit in (ann, bea):
            said = visit.page.get_by_role("log")
            await expect(said).to_contain_text("By mouse.")
            words = await said.inner_text()
            assert (words.count("By keys."), words.count("By mouse.")) == (1, 1)
