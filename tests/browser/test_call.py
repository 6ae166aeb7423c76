"""The page against the real product: a person calls, hears, reads, hangs up."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import ListParticipantsRequest, ListRoomsRequest
from playwright.async_api import Browser, expect

from tests.browser.conftest import open_visit
from tests.browser.visit import WITHIN_MS, Visit
from tests.stack import Stack

MOST_TABS = 10

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def people(stack: Stack, agent: str) -> list[ParticipantInfo]:
    """The people in the room in which this agent is; none where it is in no room."""
    async with stack.livekit.client() as lkapi:
        for room in (await lkapi.room.list_rooms(ListRoomsRequest())).rooms:
            found = await lkapi.room.list_participants(ListParticipantsRequest(room=room.name))
            if agent in {each.identity for each in found.participants}:
                return [p for p in found.participants if p.kind == ParticipantInfo.STANDARD]
    return []


async def becomes(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition, for less long than LiveKit's own timeout for the silent."""
    async with asyncio.timeout(10):
        while not await holds():  # noqa: ASYNC110 - the server is asked, it sends no event here
            await asyncio.sleep(0.1)


async def nobody_with(stack: Stack, agent: str) -> None:
    """Wait until no person is left with an agent."""

    async def gone() -> bool:
        return not await people(stack, agent)

    await becomes(gone)


async def test_the_persona_is_heard(visit: Visit) -> None:
    """After one click, the sound of the persona's track reaches the person's loudspeaker."""
    await visit.call("Assistant")

    await visit.hears(voices=1)


async def test_words_are_read_as_they_come(visit: Visit) -> None:
    """What the persona says stands in a bubble under its label."""
    await visit.call("Teacher")

    bubble = visit.page.locator(".bubble", has_text="Teacher").first
    await expect(bubble.locator("p")).to_have_text(re.compile(r"\w+ \w+"), timeout=WITHIN_MS)


async def test_levels_come_from_the_sound(visit: Visit) -> None:
    """The persona's figure and one's own swell with what their tracks carry."""
    await visit.call("Chef")

    await visit.sees_level(".seat[data-identity^=agent-chef-]")
    await visit.sees_level(".own")


async def test_two_personas_are_both_shown_and_heard(visit: Visit) -> None:
    """Each persona asked for is a participant with a seat, a state and a sound of its own."""
    await visit.call("Assistant", "Astronaut")

    seats = visit.page.locator(".seat[data-identity^=agent-]")
    await expect(seats).to_have_count(2, timeout=WITHIN_MS)
    await expect(seats.locator(".label")).to_have_text(["Assistant", "Astronaut"])
    await visit.hears(voices=2)


async def test_a_second_call_has_a_room_of_its_own(visit: Visit) -> None:
    """Hanging up leaves the room, and calling again leads to another persona that is heard."""
    await visit.call("Assistant")
    first = await visit.identity()
    await visit.press("Hang up")
    await visit.reaches("ended")
    await nobody_with(visit.stack, first)
    await visit.call_again()

    assert first != await visit.identity()
    await visit.hears(voices=1)


async def test_leaving_the_page_leaves_the_room(visit: Visit) -> None:
    """Whoever closes the page or follows a link is gone from the room at once."""
    await visit.call("Assistant")
    agent = await visit.identity()
    assert len(await people(visit.stack, agent)) == 1
    await visit.page.goto("about:blank")

    await nobody_with(visit.stack, agent)


async def test_mute_silences_the_microphone_for_the_room(visit: Visit) -> None:
    """Muting is known to the room, and the button then offers the way back."""
    await visit.call("Assistant")
    agent = await visit.identity()
    await visit.press("Mute")
    await expect(visit.page.get_by_role("button", name="Unmute")).to_be_visible(timeout=WITHIN_MS)

    async def muted() -> bool:
        return all(t.muted for person in await people(visit.stack, agent) for t in person.tracks)

    await becomes(muted)


async def test_a_whole_visit_without_a_complaint(browser: Browser, stack: Stack) -> None:
    """From loading to the second call nothing is logged as warning or error."""
    async with open_visit(browser, stack) as visit:
        await visit.call("Assistant")
        await visit.hears(voices=1)
        await visit.press("Hang up")
        await visit.call_again()
        await visit.press("Hang up")
        await visit.press("Choose voices")

    assert visit.complaints == []


async def test_nothing_is_asked_of_another_host(visit: Visit) -> None:
    """The page talks with its own server and with LiveKit, and with nobody else."""
    await visit.call("Assistant")
    await visit.hears(voices=1)

    assert visit.origins <= visit.stack.origins
    assert visit.stack.url in visit.origins


async def test_the_choice_is_kept(visit: Visit) -> None:
    """After a call the same personas are still picked."""
    await visit.call("Chef")
    await visit.press("Hang up")
    await visit.press("Choose voices")

    picked = visit.page.locator(".card:has(:checked) .label")
    await expect(picked).to_have_text(["Chef"], timeout=WITHIN_MS)


async def test_a_call_needs_no_mouse(visit: Visit) -> None:
    """Keys alone pick, start, and hang up."""
    await visit.page.get_by_role("checkbox", name="Teacher").focus()
    await visit.page.keyboard.press("Space")
    await visit.page.get_by_role("button", name="Start talking").focus()
    await visit.page.keyboard.press("Enter")
    await visit.is_answered()
    mute = visit.page.get_by_role("button", name="Mute", exact=True)
    await expect(mute).to_be_enabled(timeout=WITHIN_MS)
    for _ in range(MOST_TABS):  # the focus waited at the beginning of the call
        await visit.page.keyboard.press("Tab")
        if await visit.page.evaluate("document.activeElement.textContent") == "Hang up":
            break
    await visit.page.keyboard.press("Enter")

    await visit.reaches("ended")
