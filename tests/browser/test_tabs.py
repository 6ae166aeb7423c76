"""Who a person is through a reload, a frozen page and a page out of the history.

Two tabs that are made of each other: `test_call.py`.
"""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from harness.stack import Stack
from tests.browser.conftest import open_visit
from tests.browser.rooms import becomes, people
from tests.browser.visit import Visit
from tests.token_service.players import joined, person_token

pytestmark = pytest.mark.asyncio(loop_scope="session")

MATE = "mate"


@pytest.fixture(autouse=True)
def idle() -> None:
    """Wait for nothing: the call of this file goes on."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ann(browser: Browser, stack: Stack) -> AsyncGenerator[Visit]:
    """Join a link's room; each test of this file leaves the page in a call.

    Somebody else stays there, so that the persona does.
    """
    await stack.slots_used_become(0)
    async with open_visit(browser, stack, f"{stack.url}/?room=tabs&persona=chef") as visit:
        await visit.join("Ann")
        async with joined(stack.livekit, person_token(stack.livekit, "tabs", MATE)):
            yield visit


async def identities(stack: Stack, visit: Visit) -> list[str]:
    """Return the identities of the people in a visit's room."""
    return sorted([each.identity for each in await people(stack, await visit.identity())])


async def test_a_reload_changes_nobody(ann: Visit, stack: Stack) -> None:
    """A person who reloads the page in a call and joins again has the identity of before."""
    before = await identities(stack, ann)
    await ann.page.reload()
    await ann.may_start()
    await ann.join("Ann")

    assert await identities(stack, ann) == before


async def test_a_page_that_was_frozen_comes_back_by_itself(ann: Visit, stack: Stack) -> None:
    """Nobody left a call whose page the browser froze: the page joins again as the same person."""
    before = await identities(stack, ann)
    await ann.page.evaluate("() => void window.dispatchEvent(new Event('freeze'))")
    await ann.reaches("reconnecting")
    await ann.is_answered()

    assert await identities(stack, ann) == before


async def test_a_page_out_of_the_history_has_left_its_call(ann: Visit) -> None:
    """Who went to another page and comes back reads that the call was left, and can call again."""
    await ann.page.evaluate("() => void window.dispatchEvent(new Event('pagehide'))")
    await ann.reaches("ended")
    await ann.sees("You left the call.")

    await ann.call_again()


async def test_leaving_the_page_leaves_the_room(ann: Visit, stack: Stack) -> None:
    """A person who leaves the page has left the room."""
    agent = await ann.identity()

    async def left() -> bool:
        return [each.identity for each in await people(stack, agent)] == [MATE]

    assert not await left()
    await ann.page.goto("about:blank")
    await becomes(left)

    await ann.page.go_back()
    await ann.join("Ann")
