"""Who a person is through a reload, a frozen page and a page out of the history.

Two tabs that are made of each other: `test_call.py`.
"""

import pytest
from playwright.async_api import Browser

from harness.stack import Stack
from tests.browser.conftest import open_visit
from tests.browser.rooms import people
from tests.browser.visit import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def identities(stack: Stack, visit: Visit) -> list[str]:
    """Return the identities of the people in a visit's room."""
    return sorted([each.identity for each in await people(stack, await visit.identity())])


async def test_a_reload_changes_nobody(browser: Browser, stack: Stack) -> None:
    """A person who reloads the page in a call and joins again has the identity of before."""
    async with open_visit(browser, stack, f"{stack.url}/?room=reload&persona=chef") as ann:
        await ann.join("Ann")
        before = await identities(stack, ann)
        await ann.page.reload()
        await ann.may_start()
        await ann.join("Ann")

        assert await identities(stack, ann) == before


async def test_a_page_that_was_frozen_comes_back_by_itself(visit: Visit, stack: Stack) -> None:
    """Nobody left a call whose page the browser froze: the page joins again as the same person."""
    await visit.call("Chef")
    before = await identities(stack, visit)
    await visit.page.evaluate("() => void window.dispatchEvent(new Event('freeze'))")
    await visit.reaches("reconnecting")
    await visit.is_answered()

    assert await identities(stack, visit) == before


async def test_a_page_out_of_the_history_has_left_its_call(visit: Visit) -> None:
    """Who went to another page and comes back reads that the call was left, and can call again."""
    await visit.call("Chef")
    await visit.page.evaluate("() => void window.dispatchEvent(new Event('pagehide'))")
    await visit.reaches("ended")
    await visit.sees("You left the call.")

    await visit.call_again()
