"""Microphones that fail, go and are silent while a call runs."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from harness.stack import Stack
from tests.browser.conftest import open_visit
from tests.browser.visit import Visit

# A second microphone is in use elsewhere, and all can be unplugged.
DEVICES = Path(__file__).with_name("devices.js")

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_microphone_that_fails_is_told(browser: Browser, stack: Stack) -> None:
    """One that cannot be opened leaves the one of before; without any, one that is back is used.

    Whoever is not heard from the beginning reads that, in place of an invitation to talk.
    """
    async with open_visit(browser, stack, script=DEVICES) as visit:
        await visit.call("Assistant")
        await visit.sees_level(".own")
        await choose_one_that_is_in_use(visit)
        await unplug_all(visit)
        assert not [each for each in visit.complaints if each.startswith("error")]
        await visit.press("Hang up")
        await visit.page.evaluate("silence()")
        await visit.call_again()

        await visit.sees("Nothing is heard from your microphone")


async def choose_one_that_is_in_use(visit: Visit) -> None:
    """Check that the sheet tells why the choice fails, and that the call goes on as before it."""
    await visit.press("Sound settings")
    sheet = visit.page.get_by_role("dialog")
    choice = sheet.get_by_role("combobox", name="Microphone")
    await choice.select_option("headset")
    await expect(sheet.get_by_role("alert")).to_contain_text("The microphone is in use")
    await expect(choice).to_have_value("")
    await visit.press("Close")
    await expect(visit.page.get_by_role("alert")).to_have_count(0)

    await visit.sees_level(".own")


async def unplug_all(visit: Visit) -> None:
    """Check that the page says so, also to who presses Unmute, and goes on once one is back."""
    await visit.page.evaluate("takeMicrophones()")
    alert = visit.page.get_by_role("alert")
    await expect(alert).to_contain_text("No microphone found")
    await visit.press("Unmute")
    await expect(alert).to_contain_text("No microphone found")
    await visit.page.evaluate("giveMicrophones()")
    await visit.press("Unmute")
    await expect(alert).to_have_count(0)

    await visit.sees_level(".own")


async def test_a_device_that_the_browser_does_not_name_yet_is_shown_as_chosen(
    deaf_browser: Browser, stack: Stack
) -> None:
    """The choice is in use all the same, and the system's device can be chosen again."""
    async with open_visit(deaf_browser, stack) as visit:
        stored = """localStorage.setItem('moshi-rooms.sound', '{"microphone": "headset"}')"""
        await visit.page.evaluate(stored)
        await visit.page.reload()
        await visit.page.locator("summary", has_text="Microphone and sound").click()
        choice = visit.page.get_by_role("combobox", name="Microphone")

        await expect(choice.locator("option:checked")).to_have_text("As chosen before")
        await choice.select_option("System default")
        await expect(choice.locator("option")).to_have_text(["System default"])
