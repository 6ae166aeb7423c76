"""The transcript beside the stage: very many lines, and data that is no turn."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from livekit import rtc
from playwright.async_api import Browser, expect

from harness.stack import Stack
from tests.browser.conftest import open_visit
from tests.browser.rooms import latest_session, people
from tests.browser.visit import Visit
from tests.token_service.players import joined, person_token

pytestmark = pytest.mark.asyncio(loop_scope="session")

LINES = 2_000
AT_ONCE = 50
BUBBLES = 150
WRITTEN_PER_LINE = 500  # letters: a bubble of 40 lines is rendered again; of all lines, 10,000
WATCH = """() => {
  window.written = 0;
  new MutationObserver((changes) => {
    for (const { type, target, addedNodes } of changes)
      for (const node of type === 'characterData' ? [target] : addedNodes)
        window.written += node.textContent.length;
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


@dataclass(frozen=True)
class Talk:
    """A call that the tests of this file share."""

    visit: Visit
    room: str
    reader: str  # the identity that the page has in its room


@pytest.fixture(autouse=True)
def idle() -> None:
    """Wait for nothing: the call of this file goes on."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def talk(browser: Browser, stack: Stack) -> AsyncGenerator[Talk]:
    """Hold a call while the tests of this file run, with an operator's panels."""
    await stack.slots_used_become(0)
    async with open_visit(browser, stack, f"{stack.url}/?dev=1") as visit:
        await visit.call("Assistant")
        [reader] = await people(stack, await visit.identity())
        yield Talk(visit, (await latest_session(stack))["room"], reader.identity)


async def write(mate: rtc.Room, to: str, count: int) -> None:
    """Type so many lines to one person, as fast as possible."""
    for first in range(0, count, AT_ONCE):
        sent = [
            mate.local_participant.send_text(
                f"line {number}", topic="lk.chat", destination_identities=[to]
            )
            for number in range(first, first + AT_ONCE)
        ]
        await asyncio.gather(*sent)


async def test_a_flood_of_lines_does_not_make_the_page_slow(talk: Talk, stack: Stack) -> None:
    """After 2,000 lines the last is shown, in few bubbles, of which few were rendered again."""
    visit = talk.visit
    await visit.page.evaluate(WATCH)
    async with joined(stack.livekit, person_token(stack.livekit, talk.room, "flood")) as mate:
        await write(mate, talk.reader, LINES)
        bubbles = visit.page.locator(".bubble")  # the persona goes on talking between them
        last = bubbles.filter(has_text=f"line {LINES - 1}")
        await expect(last).to_have_count(1)
        await visit.type("Still here?")
        await expect(bubbles.filter(has_text="Still here?")).to_have_count(1)
    written = await visit.page.evaluate("window.written")

    assert await bubbles.count() <= BUBBLES
    assert written < LINES * WRITTEN_PER_LINE
    assert visit.complaints == []


async def test_malformed_turns_are_ignored(talk: Talk, stack: Stack) -> None:
    """Malformed or forged packets on the topic `turn` cause no error and no figure."""
    visit = talk.visit
    async with joined(stack.livekit, person_token(stack.livekit, talk.room, "joker")) as mate:
        for payload in (b"nonsense", b"null", b"\xff\xfe", b'{"latency_ms": 98765}'):
            await mate.local_participant.publish_data(payload, topic="turn")
        await mate.local_participant.send_text("That was all.", topic="lk.chat")
        await visit.sees("That was all.")
    await visit.press_tab("Performance")
    await visit.sees("Voice to voice")

    assert visit.complaints == []
    assert "98" not in await visit.page.locator("#panel .plot").first.inner_text()
    await visit.press_tab("Transcript")


async def test_earlier_words_stay_where_they_are_read(talk: Talk, stack: Stack) -> None:
    """Who scrolled back reads on while many more bubbles come, also without scroll anchoring."""
    visit = talk.visit
    async with (
        joined(stack.livekit, person_token(stack.livekit, talk.room, "ann")) as ann,
        joined(stack.livekit, person_token(stack.livekit, talk.room, "bea")) as bea,
    ):

        async def chat(first: int) -> None:
            for number in range(first, first + BUBBLES + 20):
                mate = (ann, bea)[number % 2]
                await mate.local_participant.send_text(f"line {number}.", topic="lk.chat")
            await visit.sees(f"line {number}.")

        await chat(0)
        scroll = visit.page.locator(".scroll")
        await scroll.evaluate(
            "(box) => { box.style.overflowAnchor = 'none'; box.scrollTop = 900; }"
        )
        read = visit.page.locator(".bubble", has_text="line 60.")
        before = await read.bounding_box()
        await chat(BUBBLES + 20)
    after = await read.bounding_box()
    await scroll.evaluate("(box) => { box.scrollTop = box.scrollHeight; }")

    assert before is not None
    assert after == before
