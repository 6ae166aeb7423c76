"""The page's messages about faults: the reason in words, and what to do."""

from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, expect

from harness.stack import Stack
from tests.browser.conftest import open_visit
from tests.browser.rooms import becomes, has_ended, service_of
from tests.browser.visit import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNT_ASKED = """(() => {
  window.asked = 0;
  const ask = MediaDevices.prototype.getUserMedia;
  MediaDevices.prototype.getUserMedia = function (...given) {
    window.asked++;
    return ask.apply(this, given);
  };
})()"""

# LiveKit's client takes the older name where the usual one is missing.
NO_WEBRTC = "delete window.RTCPeerConnection; delete window.webkitRTCPeerConnection"

EVERYBODY = ("Assistant", "Chef", "Teacher")  # all slots of the stack
FULL = "All places are taken"


async def test_a_person_waits_in_line_while_all_slots_are_occupied(
    browser: Browser, stack: Stack
) -> None:
    """A person who waits in line sees their place, and the call starts when slots are free.

    A link into a room that already runs can be joined meanwhile.
    """
    # Another room than earlier tests': theirs may not have ended yet, with fewer personas.
    link = f"{stack.url}/?room=hall&persona={','.join(EVERYBODY).lower()}"
    async with open_visit(browser, stack, link) as first, open_visit(browser, stack) as second:
        await first.join("Ann")
        await second.sees(FULL)
        await second.page.goto(link)
        join = second.page.get_by_role("button", name="Join the room")
        await expect(join).to_be_enabled()
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
    """In a room for one person the first guest talks; the second reads that the room is full.

    The first one's rating becomes an event of the session. What is no guest's bearer in the address
    leads nowhere, where everybody may come in, too.
    """
    async with service_of(stack) as http:
        asked = {"max_people": 1, "personas": ["chef"]}
        session = (await http.post("/sessions", json=asked)).json()
        path = f"/sessions/{session['id']}"
        bearer = (await http.post(f"{path}/guests")).json()["bearer"]
        link = f"{stack.url}/?room={session['room']}#guest={bearer}"
        async with (
            open_visit(browser, stack, link) as first,
            open_visit(browser, stack, link) as second,
        ):
            await first.join("Gus")
            await second.press("Join the room")
            await second.reaches("error")
            await second.sees("The room is full")
            await first.press("Hang up")
            await first.press("2 of 5")
            await first.sees("Thank you.")
            await second.page.goto(f"{stack.url}/#guest=nonsensé")
            await second.press("Join the room")
            await second.reaches("error")
            await second.sees("This link no longer works")
        events = await http.get(f"{path}/events", params={"follow": False})
        await http.delete(path)

    assert '"rating":2' in events.text


async def test_without_a_microphone_no_call_starts(deaf_browser: Browser, stack: Stack) -> None:
    """A page without microphone says how to allow it, and its session ends.

    Nobody is asked for the microphone before the first click on a call or a test.
    """
    async with open_visit(deaf_browser, stack) as visit:
        await visit.page.add_init_script(COUNT_ASKED)
        await visit.page.reload()
        await visit.may_start()
        await visit.page.locator("summary", has_text="Microphone and sound").click()
        await visit.sees("Say something and hear it back.")
        assert await visit.page.evaluate("window.asked") == 0
        await visit.press("Start talking")
        await visit.reaches("error")

        await visit.sees("Your browser or system blocked the microphone")
        await visit.focus_is_kept()
        await becomes(lambda: has_ended(stack))


async def test_a_page_without_https_says_so(browser: Browser, stack: Stack) -> None:
    """A page that gets no microphone for want of https says that it is not secure."""
    url = f"http://rooms.test:{urlsplit(stack.url).port}"
    async with open_visit(browser, stack, url) as visit:
        await visit.press("Start talking")
        await visit.reaches("error")

        await visit.sees("This page is not secure")


async def test_what_fails_in_a_call_is_told(visit: Visit, stack: Stack) -> None:
    """A persona that could not be muted, and a copy that the browser refuses on its button.

    A call that the server ended shows why, and another call can be started.
    """
    await visit.call("Assistant")
    await visit.page.route("**/mute", lambda route: route.abort())
    await visit.press("Mute Assistant for everyone")
    await visit.sees("Assistant could not be muted")
    await visit.sees_words(1)
    await visit.page.evaluate(
        "() => Object.defineProperty(navigator, 'clipboard', { value: null })"
    )
    await visit.press("Copy")
    await expect(visit.page.get_by_role("button", name="Copying failed")).to_be_visible()
    await stack.close_rooms()
    await visit.reaches("disconnected")
    await visit.sees("The room was closed")

    await visit.call_again()


async def test_a_page_whose_script_is_on_its_way_is_not_empty(
    browser: Browser, stack: Stack
) -> None:
    """On a slow network a sign of life is shown until the page is there."""
    page = await browser.new_page()
    await page.route("**/assets/*.js", lambda _: None)  # never answered
    await page.goto(stack.url, wait_until="commit")

    await expect(page.locator(".arriving")).to_be_visible()
    await page.close()


async def test_a_browser_without_webrtc_is_told_so_before_it_asks_for_anything(
    visit: Visit, stack: Stack
) -> None:
    """The reason is the browser, not the network; no session and no microphone is asked for."""
    await visit.page.evaluate(f"{COUNT_ASKED}; {NO_WEBRTC}")
    before = await session_ids(stack)
    await visit.press("Start talking")

    await visit.sees("This browser cannot make calls")
    assert await visit.page.evaluate("window.asked") == 0
    assert await session_ids(stack) == before


async def session_ids(stack: Stack) -> set[str]:
    """Return the ids of the sessions so far; earlier tests' may still end."""
    async with service_of(stack) as http:
        return {each["id"] for each in (await http.get("/sessions")).json()}
