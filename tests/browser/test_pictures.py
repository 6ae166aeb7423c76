"""Each state in both themes and every size: it can be used by everybody, and be looked at.

Pictures go into `test-results/`. A state that does not come, that axe-core finds fault with or that
does not fit a window is the failure; how it looks is for people to judge.
"""

import re
from collections.abc import Awaitable, Callable, Generator

import pytest
from playwright.async_api import Browser, Page, Route, ViewportSize, expect

from harness.stack import Stack
from tests.browser.conftest import open_visit
from tests.browser.looks import NARROW, PHONE, faults_of, misfits
from tests.browser.rooms import latest_session, service_of
from tests.browser.visit import Visit
from tests.token_service.players import joined, person_token
from training.repertoire import PERSONA_VOICES

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONG = "Professor Bartholomew Featherstonehaugh-Cholmondeley of Upper Wa"
ROOM = "a-room-with-a-name-as-long-as-names-of-rooms-may-be-and-then-some"
REFUSE = """() => {
  navigator.mediaDevices.getUserMedia = () =>
    Promise.reject(new DOMException('', 'NotAllowedError'));
}"""

Picture = Callable[[Visit, str], Awaitable[None]]


@pytest.fixture
def picture() -> Generator[Picture]:
    """A function that takes a state; what does not fit in any of them is the test's failure."""
    faults: list[str] = []

    async def take(visit: Visit, state: str) -> None:
        faults.extend([f"{state}: {fault}" for fault in await faults_of(visit.page, state)])

    yield take
    assert not faults, "\n".join(faults)


async def run_the_pocket(page: Page) -> None:
    """Let the page believe that the pocket Moshi runs, follows prompts, and is an operator's."""

    async def answer(route: Route) -> None:
        told = await (await route.fetch()).json()
        told["model"] |= {"prompts": True, "name": "pocket"}
        links = {name: f"https://rooms.example/{name}" for name in ("terms", "privacy")}
        told["page"] |= {"colour": "#ffd400", **links}  # too bright as it is, in the light theme
        told["voices"] = list(PERSONA_VOICES.values())
        await route.fulfill(json=told)

    await page.route("**/api/config", answer)


async def test_before_a_call(visit: Visit, picture: Picture) -> None:
    """Start, with everything that opens there: voices to listen to, a character to change."""
    await visit.pick("Assistant", "Astronaut")
    await picture(visit, "start")
    await visit.page.evaluate("document.documentElement.dir = 'rtl'")
    assert await misfits(visit.page, NARROW) == []
    await visit.page.evaluate("document.documentElement.dir = 'ltr'")
    await run_the_pocket(visit.page)
    await expect(visit.page.get_by_role("link", name="Terms of use")).to_be_visible()
    await visit.press("Listen: Assistant")
    await expect(visit.page.get_by_role("button", name="Stop: Assistant")).to_be_visible()
    await visit.page.get_by_role("checkbox", name="Your own").check()
    await visit.sees("Describe your own character first.")
    await expect(visit.page.get_by_role("button", name="Listen: Assistant")).to_be_visible()
    ready_made = visit.page.get_by_role("combobox", name="Begin with a ready-made character")
    await ready_made.select_option("Chef")
    prompt = visit.page.get_by_role("textbox", name="Personality and role")
    await expect(prompt).to_have_value(re.compile("cheerful cook"))
    for fold in await visit.page.locator("summary").all():
        await fold.click()
    await visit.page.get_by_role("textbox", name="Name", exact=True).fill(LONG)
    await picture(visit, "start-open")


async def test_a_call_from_start_to_end(visit: Visit, stack: Stack, picture: Picture) -> None:
    """While the personas are on their way, live with all its panels and sheets, and ended."""
    await visit.pick("Assistant", "Astronaut")
    with stack.worker_frozen():
        await visit.press("Start talking")
        await visit.reaches("warming")
        await picture(visit, "warming")
        await visit.press("Hang up")  # whoever waits for a frozen worker waits for long
        await visit.reaches("ended")
    await stack.slots_used_become(0)
    await visit.page.reload()
    await visit.may_start()
    await visit.call("Assistant", "Astronaut")
    await visit.sees_words(4)
    await picture(visit, "live")
    await visit.page.evaluate("document.documentElement.dir = 'rtl'")
    assert await misfits(visit.page, NARROW) == []
    await visit.page.evaluate("document.documentElement.dir = 'ltr'")
    await visit.page.set_viewport_size(ViewportSize(width=PHONE[0], height=PHONE[1]))
    await visit.press("Transcript")  # from here on the drawer is open at every size
    await visit.press("Mute")
    await picture(visit, "muted")
    await visit.press("Unmute")
    await visit.press("Sound settings")
    await visit.page.get_by_role("switch", name="Show performance and event log").check()
    await picture(visit, "sound")
    await visit.press("Close")
    for tab in ("Performance", "Event log"):
        await visit.press_tab(tab)
        await picture(visit, tab.lower())
    await visit.press("Hang up")
    await visit.reaches("ended")
    await picture(visit, "ended")


async def test_a_crowd_behind_a_link(browser: Browser, stack: Stack, picture: Picture) -> None:
    """A link's room with a long name; three personas, their sheets, and a person's long name."""
    url = f"{stack.url}/?room={ROOM}&persona=assistant,chef,teacher"
    async with open_visit(browser, stack, url) as visit:
        await picture(visit, "join")
        await visit.page.set_viewport_size(ViewportSize(width=1366, height=657))
        await expect(visit.page.locator(".launch .go")).to_be_in_viewport(ratio=1)
        await visit.join("Ann")
        room = (await latest_session(stack))["room"]
        async with joined(stack.livekit, person_token(stack.livekit, room, LONG)):
            await expect(visit.page.locator(".seat")).to_have_count(4)
            await visit.sees_words(4)
            await picture(visit, "crowd")
            for opened, state in (("More for Teacher", "persona"), ("Add a voice", "adding")):
                await visit.press(opened)
                await picture(visit, state)
                await visit.press("Close")


async def test_a_guest_of_a_recorded_room(browser: Browser, stack: Stack, picture: Picture) -> None:
    """The invitation, the question whether one agrees to be recorded, and the badge in the call."""
    async with service_of(stack) as http:
        asked = {"personas": ["chef"], "record": True}
        session = (await http.post("/sessions", json=asked)).json()
        bearer = (await http.post(f"/sessions/{session['id']}/guests")).json()["bearer"]
    link = f"{stack.url}/?room={session['room']}#guest={bearer}"
    async with open_visit(browser, stack, link) as visit:
        await picture(visit, "invited")
        await visit.press("Join the room")
        await visit.sees("What you say is stored only if you agree")
        await picture(visit, "recording-asked")
        await visit.press("Agree and join")
        await visit.is_answered()
        await visit.sees("This call is recorded")
        await picture(visit, "recorded")


async def test_a_call_that_does_not_begin(visit: Visit, picture: Picture) -> None:
    """While the server thinks about a place, without a microphone, and without a server."""
    page = visit.page
    await page.route("**/sessions", lambda _: None)  # never answered
    await visit.press("Start talking")
    await visit.reaches("connecting")
    await visit.sees("Asking for a place")
    await picture(visit, "connecting")
    await visit.press("Cancel")
    await page.unroute("**/sessions")
    await visit.may_start()
    await page.evaluate(REFUSE)
    await visit.press("Start talking")
    await visit.reaches("error")
    await picture(visit, "error")
    await page.reload()
    await visit.may_start()
    await page.route("**/api/config", lambda route: route.abort())
    await visit.sees("The server does not answer")
    await picture(visit, "no-server")


async def test_full(browser: Browser, stack: Stack, picture: Picture) -> None:
    """Taken, in line, and a call that the server ended."""
    async with open_visit(browser, stack) as first:
        await first.call("Assistant", "Chef", "Teacher")
        async with open_visit(browser, stack) as second:
            await second.sees("All places are taken")
            await picture(second, "taken")
            await second.press("Wait in line")
            await second.sees("You are next in line.")
            await picture(second, "full")
        await first.sees_words(3)
        await stack.close_rooms()
        await first.reaches("disconnected")
        await picture(first, "disconnected")


@pytest.mark.parametrize("language", ["de", "fr"])
async def test_longer_words_fit_narrow_windows(
    browser: Browser, stack: Stack, language: str
) -> None:
    """Start, call, mute, sheets and end in other languages, where a window is narrow or low."""
    faults: list[str] = []
    async with open_visit(browser, stack, locale=language) as visit:
        page = visit.page

        async def look(state: str) -> None:
            faults.extend([f"{state}: {fault}" for fault in await misfits(page, NARROW)])

        await expect(page.locator("html")).to_have_attribute("lang", language)
        await look("start")
        with stack.worker_frozen():
            await page.locator(".launch .go").click()
            await visit.reaches("warming")
            await look("warming")
        await visit.is_answered()
        await page.locator(".own-microphone .mute").click()
        await look("muted")
        for button in (".devices", ".seat [aria-haspopup]", ".controls .add"):
            await page.locator(button).click()
            await look(button.rpartition(".")[2].partition(" ")[0])
            await page.keyboard.press("Escape")
        await page.locator(".controls .stop").click()
        await visit.reaches("ended")
        await look("ended")

    assert faults == []
