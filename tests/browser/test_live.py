"""A running call on the page: sound, words, levels, figures, a log, and oneself."""

import re
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ViewportSize, expect

from harness.stack import Stack
from tests.browser.conftest import DESKTOP, open_visit
from tests.browser.rooms import becomes, people
from tests.browser.visit import WITHIN_MS, Visit

PHONE = ViewportSize(width=390, height=844)

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def live(browser: Browser, stack: Stack) -> AsyncGenerator[Visit]:
    """A call that goes on while the tests of this file look at it."""
    await stack.slots_used_become(0)
    async with open_visit(browser, stack, f"{stack.url}/?dev=1") as visit:
        await visit.call("Teacher")
        yield visit


@pytest.fixture(autouse=True)
def idle() -> None:
    """In this file nothing is idle."""


async def test_the_persona_is_heard(live: Visit) -> None:
    """After one click, the sound of the persona's track reaches the person's loudspeaker."""
    await live.hears(voices=1)


async def test_words_are_read_as_they_come(live: Visit) -> None:
    """A persona's words appear in a bubble under its label."""
    bubble = live.page.locator(".bubble", has_text="Teacher").first
    await expect(bubble.locator("p")).to_have_text(re.compile(r"\w+\W+\w+"), timeout=WITHIN_MS)


async def test_levels_come_from_the_sound(live: Visit) -> None:
    """The persona's figure and one's own swell with what their tracks carry."""
    await live.sees_level(".seat[data-identity^=agent-teacher-]")
    await live.sees_level(".own")


async def test_nothing_is_asked_of_another_host(live: Visit, stack: Stack) -> None:
    """The page connects to its own server and to LiveKit only."""
    await live.hears(voices=1)

    assert live.origins <= stack.origins
    assert stack.url in live.origins


async def test_mute_silences_the_microphone_for_the_room(live: Visit, stack: Stack) -> None:
    """Muting is known to the room, and the button then offers the way back."""
    agent = await live.identity()

    async def muted() -> bool:
        return all(t.muted for person in await people(stack, agent) for t in person.tracks)

    async def heard() -> bool:
        return not await muted()

    await live.press("Mute")
    await becomes(muted)
    await live.press("Unmute")
    await becomes(heard)


async def test_who_talks_while_muted_reads_it(live: Visit) -> None:
    """M mutes; who then talks reads that nobody hears it; M once more, and the words go."""
    await live.page.locator("h1").focus()
    await live.page.keyboard.press("m")
    await live.sees("You are muted, so nobody hears you.")
    assert await live.page.locator(".own-microphone").get_attribute("data-muted") == "true"
    await live.page.keyboard.press("Space")

    await expect(live.page.get_by_text("You are muted")).to_have_count(0, timeout=WITHIN_MS)
    await live.sees_level(".own")


async def test_keys_that_write_do_not_mute(live: Visit) -> None:
    """M and Space in a field that one writes into stay letters."""
    await live.press_tab("Event log")
    field = live.page.get_by_role("searchbox", name="Search the log")
    await field.press_sequentially("my m m")

    await expect(field).to_have_value("my m m")
    await expect(live.page.get_by_role("button", name="Mute", exact=True)).to_be_visible()
    await field.fill("")
    await live.press_tab("Transcript")


async def test_the_drawer_opens_and_closes_by_keys(live: Visit) -> None:
    """Escape in the drawer closes it, and the focus is where it opens again.

    A small window has it closed until it is asked for, with the words beneath the figure.
    """
    page = live.page
    drawer = page.get_by_role("region", name="Transcript and details")
    await live.sees_words(1)
    await page.set_viewport_size(PHONE)
    await expect(drawer).to_have_count(0)
    await expect(page.locator(".seat .caption")).to_have_text(re.compile(r"\w"))
    await page.set_viewport_size(DESKTOP)
    await page.get_by_role("log").focus()
    await page.keyboard.press("Escape")
    toggle = page.get_by_role("button", name="Transcript and details", expanded=False)
    await expect(toggle).to_be_focused()
    await expect(drawer).to_have_count(0)
    await page.keyboard.press("Enter")
    await expect(drawer).to_be_visible()


async def test_a_muted_persona_is_silent_and_comes_back(live: Visit) -> None:
    """A persona's own button mutes it for all, and says so until it is pressed again."""
    seat = live.page.locator(".seat[data-identity^=agent-]")
    await live.press("Mute Teacher for everyone")
    await expect(seat.locator(".doing")).to_have_text("muted", timeout=WITHIN_MS)
    await live.press("Unmute Teacher for everyone")

    await expect(seat.locator(".doing")).to_have_text(
        re.compile("listening|speaking"), timeout=WITHIN_MS
    )


async def test_no_line_is_offered_where_nothing_reads(live: Visit) -> None:
    """A person alone with a persona that has no mind is not invited to type."""
    await live.hears(voices=1)

    assert await live.page.get_by_role("textbox", name="Type to the room").count() == 0


async def test_the_words_can_be_taken_away(live: Visit) -> None:
    """As text with times and names, and as captions that a player reads."""
    await live.sees_words(3)
    kept = {}
    for name in ("Text", "WebVTT"):
        async with live.page.expect_download() as download:
            await live.press(name)
        kept[name] = (await (await download.value).path()).read_text()

    assert re.search(r"^\[\d+:\d\d\] Teacher: \w+", kept["Text"], re.MULTILINE)
    assert kept["WebVTT"].startswith("WEBVTT\n\n00:00:")
    assert "<v Teacher>" in kept["WebVTT"]


async def test_the_figures_are_measured(live: Visit) -> None:
    """Round trip, way of the sound, taken places and the workers' steps stand in their tab."""
    await live.press_tab("Performance")
    for text in (r"^\d+ ms$", "UDP", r"step p99 \d+ ms", r"median \d+ ms"):
        await live.sees(re.compile(text))
    await expect(live.page.get_by_role("img", name="1 of 3 places are taken")).to_be_visible()
    await live.press_tab("Transcript")


async def test_the_log_tells_and_is_sifted(live: Visit) -> None:
    """The log lists events with their times; a person can open, search and filter them."""
    await live.press_tab("Event log")
    line = live.page.locator(".log-line", has_text="You are in the room")
    await line.locator("summary").click()
    await expect(line.locator("pre")).to_contain_text('"room": "room-')
    await live.page.get_by_role("searchbox", name="Search the log").fill("in the room")
    await expect(live.page.locator(".log-line")).to_have_count(1)
    await live.page.get_by_role("combobox", name="Severity").select_option("error")
    await live.sees("Nothing of this kind.")
    await live.press_tab("Transcript")


async def test_echo_cancelling_is_switched_while_one_talks(live: Visit, stack: Stack) -> None:
    """A changed switch reopens the microphone, and the room still hears the person.

    The sheet gives the focus back to the button that opened it.
    """
    await live.press("Sound settings")
    await live.page.get_by_role("switch", name="Cancel echo").uncheck()
    await live.press("Close")
    await expect(live.page.get_by_role("button", name="Sound settings")).to_be_focused()
    [person] = await people(stack, await live.identity())

    await live.sees_level(".own")
    assert [track.muted for track in person.tracks] == [False]
