"""The page with the keyboard alone, through a call to the next choice of voices."""

import pytest
from playwright.async_api import Browser, Page, Route, ViewportSize, expect

from harness.stack import Stack
from tests.browser.rooms import latest_session, service_of
from tests.browser.visit import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

MOST_TABS = 40
PHONE = ViewportSize(width=375, height=667)
NAME = """() => {
  const { activeElement: el } = document;
  return el.getAttribute('aria-label') ?? el.closest('label')?.innerText ?? el.textContent;
}"""
# Whether the middle of the focused element is in the window, with nothing over it.
SHOWN = """() => {
  const { activeElement: el } = document;
  const { left, right, top, bottom } = el.getBoundingClientRect();
  const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
  return el.contains(hit) || !!hit?.contains(el) || !!hit?.closest('label')?.contains(el);
}"""


async def tab_to(page: Page, name: str, key: str = "Tab") -> None:
    """Press Tab until the control of this name has the focus; each on the way is visible."""
    passed: list[str] = []
    while len(passed) < MOST_TABS:
        await page.keyboard.press(key)
        passed.append(await page.evaluate(NAME))
        assert await page.evaluate(SHOWN), f"{passed[-1]} has the focus, and cannot be seen"
        if passed[-1] == name:
            return
    pytest.fail(f"no way to {name} by {key}: {passed}")


async def test_on_a_phone_the_start_button_hides_nothing_that_has_the_focus(visit: Visit) -> None:
    """The button stays at the window's end, and what Tab reaches is scrolled to above it."""
    await visit.page.set_viewport_size(PHONE)

    await tab_to(visit.page, "Start talking")


async def test_a_call_needs_no_mouse(visit: Visit) -> None:
    """Keys pick, start, mute, ask a persona, open and close, hang up, rate, and choose again.

    After a change of screen the focus is on its heading.
    """
    page, keyboard = visit.page, visit.page.keyboard
    await tab_to(page, "Assistant")
    await keyboard.press("Space")
    await tab_to(page, "Teacher")
    await keyboard.press("Space")
    await tab_to(page, "Start talking")
    await keyboard.press("Enter")
    await visit.is_answered()
    await expect(page.locator(".own-microphone .mute")).to_be_enabled()
    await tab_to(page, "Volume of Teacher")
    await keyboard.press("ArrowLeft")
    await expect(page.get_by_role("slider", name="Volume of Teacher")).to_have_value("0.95")
    await tab_to(page, "More for Teacher")
    await keyboard.press("Enter")
    await tab_to(page, "Start fresh")
    await keyboard.press("Escape")
    await expect(page.get_by_role("button", name="More for Teacher")).to_be_focused()
    await tab_to(page, "Mute")
    await keyboard.press("Enter")
    await visit.sees("You are muted")
    await tab_to(page, "Transcript")
    await keyboard.press("Enter")
    await expect(page.get_by_role("log")).to_have_count(0)
    await keyboard.press("Enter")
    await expect(page.get_by_role("log")).to_be_visible()
    await tab_to(page, "Hang up", key="Shift+Tab")
    await keyboard.press("Enter")
    await visit.reaches("ended")
    await visit.focus_is_kept()
    await tab_to(page, "4 of 5")
    await keyboard.press("Enter")
    await visit.sees("Thank you.")
    await tab_to(page, "Choose voices", key="Shift+Tab")
    await keyboard.press("Enter")
    await visit.may_start()
    await visit.focus_is_kept()
    await tab_to(page, "Start talking")


async def test_a_control_that_goes_leaves_the_focus_near_its_place(visit: Visit) -> None:
    """A removed persona, a busy button, a sent line and a closed drawer lose nobody's place.

    Whoever added a voice goes on from the button that opened the sheet.
    """
    page = visit.page
    await page.locator("summary", has_text="Microphone and sound").click()
    test = page.locator(".echo-test button")
    await test.press("Enter")
    await visit.sees("Say something now")
    await page.wait_for_timeout(200)
    await expect(test).to_be_disabled()  # while it listens
    await expect(test).to_be_focused()
    await visit.call("Assistant", "Chef")
    more = page.get_by_role("button", name="More for Chef")
    await more.press("Enter")
    say = page.get_by_role("button", name="Say this")
    line = page.get_by_role("textbox", name="A sentence to say")
    await line.fill("Dinner is ready.")
    await say.press("Enter")
    await visit.sees("It will be said at the next pause.")
    await expect(say).to_be_disabled()
    await expect(say).to_be_focused()
    await page.get_by_role("button", name="Remove from the call").press("Enter")
    await expect(page.locator(".seat .label")).to_have_text(["Assistant"])
    await expect(page.get_by_role("list", name="In the room")).to_be_focused()
    await tab_to(page, "Mute Assistant for everyone")
    add = page.get_by_role("button", name="Add a voice")
    await add.press("Enter")
    await page.get_by_role("dialog").get_by_role("button", name="Teacher").press("Enter")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(add).to_be_focused()
    mute = page.locator(".own-microphone .mute")
    await mute.press("Enter")
    await visit.sees("You are muted")
    await expect(mute).to_be_focused()
    await page.get_by_role("button", name="Copy").focus()
    await page.keyboard.press("Escape")

    await expect(page.get_by_role("button", name="Transcript")).to_be_focused()


async def test_controls_that_others_take_leave_the_focus_near_their_place(
    visit: Visit, stack: Stack
) -> None:
    """Whoever added the last voice that the room takes has no button to add another.

    Whoever was on a button of a persona that others remove, or in its sheet, goes on from the list
    of participants.
    """
    page = visit.page

    async def answer(route: Route) -> None:
        told = await (await route.fetch()).json()
        told["limits"]["personas_per_room"] = 3
        await route.fulfill(json=told)

    await page.route("**/api/config", answer)
    await page.reload()
    await visit.may_start()
    await visit.call("Assistant", "Chef")
    await page.get_by_role("button", name="Add a voice").press("Enter")
    await page.get_by_role("dialog").get_by_role("button", name="Teacher").press("Enter")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("region", name="Controls")).to_be_focused()
    session = f"/sessions/{(await latest_session(stack))['id']}"
    seats = page.get_by_role("list", name="In the room")
    async with service_of(stack) as http:
        _, chef, teacher = (await http.get(session)).json()["personas"]
        await page.get_by_role("button", name="Mute Chef for everyone").focus()
        (await http.delete(f"{session}/personas/{chef['id']}")).raise_for_status()
        await expect(seats).to_be_focused()
        await page.get_by_role("button", name="More for Teacher").press("Enter")
        await page.get_by_role("button", name="Start fresh").focus()
        (await http.delete(f"{session}/personas/{teacher['id']}")).raise_for_status()

        await expect(seats).to_be_focused()


async def test_keys_are_named_where_there_are_keys(browser: Browser, stack: Stack) -> None:
    """On a phone no hint names a key, until one is pressed: then M mutes, and can be turned off."""
    phone = await browser.new_context(
        viewport=ViewportSize(width=360, height=640), has_touch=True, is_mobile=True
    )
    visit = await Visit(await phone.new_page(), stack.url).open()
    page = visit.page
    keys = page.locator("[aria-keyshortcuts], [title*='Space'], :text('M or Space')")
    await visit.call("Assistant")
    await visit.press("Sound settings")
    await expect(page.get_by_role("switch", name="Show performance")).to_be_visible()
    await expect(keys).to_have_count(0)
    await visit.press("Close")
    await expect(page.locator(".own-microphone .mute")).to_be_enabled()
    await page.keyboard.press("m")
    await visit.sees("You are muted")
    await expect(page.locator(".mute")).to_have_attribute("title", "Unmute (M or Space)")
    await visit.press("Sound settings")
    await page.get_by_role("switch", name="Mute with M or Space").uncheck()
    await expect(page.locator(".mute")).not_to_have_attribute("title", "Unmute (M or Space)")
    await phone.close()
