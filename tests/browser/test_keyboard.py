"""The page with the keyboard alone, through a call to the next choice of voices."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.visit import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

MOST_TABS = 40
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


async def test_a_sheet_that_has_done_its_work_gives_the_focus_back(visit: Visit) -> None:
    """Whoever added a voice by key goes on from the button that opened the sheet."""
    page = visit.page
    await visit.call("Assistant")
    button = page.get_by_role("button", name="Add a voice")
    await button.press("Enter")
    await page.get_by_role("dialog").get_by_role("button", name="Teacher").press("Enter")
    await expect(page.get_by_role("dialog")).to_have_count(0)

    await expect(button).to_be_focused()
