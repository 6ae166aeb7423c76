"""What the browser downloads before the page can be used."""

import re
import time
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Route, expect

from harness.stack import Stack
from tests.browser.visit import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

BUDGET_BYTES = 150_000
MOST_ANSWERS = 12
CALL_PART = "**/assets/callPart-*"
SCRIPT = re.compile(r"/callPart-[^/]*\.js$")
# The browser's requests without fonts: those depend on the words that are shown.
ASKED = """() => performance.getEntriesByType('resource')
  .map(({ name }) => new URL(name).pathname).filter((path) => !path.endsWith('.woff2'))"""


async def test_the_first_load_is_small(browser: Browser, stack: Stack, measured: list[str]) -> None:
    """A new visitor's browser gets at most 150 kB in 12 answers until the start button works.

    What a call alone needs comes afterwards. The time is only measured: the machine does other
    things, too.
    """
    context = await browser.new_context()
    visit = Visit(await context.new_page(), stack.url)
    await context.route(CALL_PART, lambda _: None)  # never answered
    sent = await visit.count_bytes()
    begun_s = time.monotonic()
    await visit.open()
    took_s = time.monotonic() - begun_s
    await context.close()
    measured.append(
        f"page: start enabled after {took_s:.1f} s, {len(sent)} answers, {sum(sent):,.0f} bytes"
    )

    assert 50_000 < sum(sent) < BUDGET_BYTES
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
    await page.route(CALL_PART, lambda _: None)
    await Visit(page, stack.url).open()
    asked: list[str] = await page.evaluate(ASKED)
    html = await (await context.request.get(stack.url)).text()
    await context.close()

    assert {"/api/config", "/theme.js"} < set(asked)
    assert [path for path in asked if f'"./{path.lstrip("/")}"' not in html] == []


async def test_a_click_waits_for_nothing(browser: Browser, stack: Stack) -> None:
    """What a call alone needs is there before the click, which fetches no further part."""
    context = await browser.new_context()
    visit = Visit(await context.new_page(), stack.url)
    async with visit.page.expect_request_finished(lambda one: bool(SCRIPT.search(one.url))):
        await visit.open()
    await context.route("**/assets/**", lambda route: route.abort())
    await visit.call("Assistant")
    await context.close()


async def test_a_call_that_was_asked_for_early_begins_once_its_part_is_there(
    browser: Browser, stack: Stack
) -> None:
    """Whoever clicks before that reads what is waited for, keeps the focus, and gets one call.

    After an update or without a network the page says that a part is missing; a reload helps.
    """
    context = await browser.new_context()
    visit = Visit(await context.new_page(), stack.url)
    start = visit.page.locator(".launch .go")
    await context.route(CALL_PART, lambda route: route.fulfill(status=404))
    await visit.open()
    await visit.press("Start talking")
    await visit.sees("A part of this page is missing")
    await expect(start).to_be_focused()
    await context.unroute(CALL_PART)
    held: list[Route] = []

    async def hold(route: Route) -> None:
        held.append(route)

    await context.route(CALL_PART, hold)
    await visit.page.reload()
    await visit.may_start()
    asked: list[str] = []
    visit.page.on("request", lambda one: asked.append(f"{one.method} {urlsplit(one.url).path}"))
    await start.press("Enter")
    await visit.sees("Loading the call")
    await expect(start).to_be_focused()
    await start.press("Enter")
    for route in held:
        await route.continue_()
    await visit.is_answered()
    await context.close()

    assert asked.count("POST /sessions") == 1
