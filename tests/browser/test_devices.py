"""Microphones that fail, go and are silent while a call runs."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from harness.stack import Stack
from tests.browser.conftest import open_visit
from tests.browser.visit import Visit

DEVICES = Path(__file__).with_name("devices.js")

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, stack: Stack) -> AsyncGenerator[Visit]:
    """Open the page where a second microphone is in use elsewhere and all can be unplugged."""
    async with open_visit(browser, stack, script=DEVICES) as visit:
        yield visit


async def test_a_microphone_in_use_elsewhere_leaves_the_one_of_before(visit: Visit) -> None:
    """A choice that cannot be opened is told in the sheet, and the call goes on as before it."""
    await visit.call("Assistant")
    await visit.sees_level(".own")
    await visit.press("Sound settings")
    sheet = visit.page.get_by_role("dialog")
    choice = sheet.get_by_role("combobox", name="Microphone")
    await choice.select_option("headset")
    await expect(sheet.get_by_role("alert")).to_contain_text("The microphone is in use")
    await expect(choice).to_have_value("")
    await visit.press("Close")
    await expect(visit.page.get_by_role("alert")).to_have_count(0)

    await visit.sees_level(".own")


async def test_a_microphone_that_is_unplugged_is_told_until_one_is_back(visit: Visit) -> None:
    """Without any microphone the page says so, also to who presses Unmute, and goes on later."""
    await visit.call("Assistant")
    await visit.page.evaluate("takeMicrophones()")
    alert = visit.page.get_by_role("alert")
    await expect(alert).to_contain_text("No microphone found")
    await visit.press("Unmute")
    await expect(alert).to_contain_text("No microphone found")
    await visit.page.evaluate("giveMicrophones()")
    await visit.press("Unmute")
    await expect(alert).to_have_count(0)

    await visit.sees_level(".own")
    assert not [each for each in visit.complaints if each.startswith("error")]


async def test_a_silent_microphone_is_told(visit: Visit) -> None:
    """Whoever is not heard from the beginning reads that, in place of an invitation to talk."""
    await visit.page.evaluate("silence()")
    await visit.call("Assistant")

    await visit.sees("Nothing is heard from your microphone")
