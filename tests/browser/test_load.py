"""The download before the page can be used."""

import pytest
from playwright.async_api import Browser

from harness.stack import Stack
from tests.browser.visit import Visit

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="session")]

BUDGET_BYTES = 300_000


async def test_the_first_load_is_light(browser: Browser, stack: Stack) -> None:
    """All that a new visitor's browser is sent until one may start, headers and fonts included."""
    context = await browser.new_context()
    visit = Visit(await context.new_page(), stack.url)
    sent = await visit.counts_bytes()
    await visit.open()
    await context.close()

    assert 100_000 < sum(sent) < BUDGET_BYTES
