"""What the browser downloads before the page can be used."""

import time

import pytest
from playwright.async_api import Browser, Route

from harness.stack import Stack
from tests.browser.visit import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

BUDGET_BYTES = 300_000
MOST_ANSWERS = 12
# The browser's requests without fonts: those depend on the words that are shown.
ASKED = """() => performance.getEntriesByType('resource')
  .map(({ name }) => new URL(name).pathname).filter((path) => !path.endsWith('.woff2'))"""


async def test_the_first_load_is_small(browser: Browser, stack: Stack, measured: list[str]) -> None:
    """A new visitor's browser gets at most 300 kB in 12 answers until the start button works.

    The time is only measured: the machine does other things, too.
    """
    context = await browser.new_context()
    visit = Visit(await context.new_page(), stack.url)
    sent = await visit.count_bytes()
    begun_s = time.monotonic()
    await visit.open()
    took_s = time.monotonic() - begun_s
    await context.close()
    measured.append(
        f"page: start enabled after {took_s:.1f} s, {len(sent)} answers, {sum(sent):,.0f} bytes"
    )

    assert 100_000 < sum(sent) < BUDGET_BYTES
    assert len(sent) <= MOST_ANSWERS


async def test_a_start_needs_two_round_trips(browser: Browser, stack: Stack) -> None:
    """The HTML names all that the start button waits for; the configuration is fetched once.

    So the browser fetches script, style and configuration together; none waits for another.
    """
    context = await browser.new_context()
    page = await context.new_page()
    answered: list[Route] = []

    async def answer_once(route: Route) -> None:
        answered.append(route)
        if len(answered) == 1:  # what the page asks later is never answered
            await route.continue_()

    await page.route("**/api/config", answer_once)
    await Visit(page, stack.url).open()
    asked: list[str] = await page.evaluate(ASKED)
    html = await (await context.request.get(stack.url)).text()
    await context.close()

    assert {"/api/config", "/theme.js"} < set(asked)
    assert [path for path in asked if f'"./{path.lstrip("/")}"' not in html] == []
