"""A running call on the page: sound, words, levels, figures, log, the person's microphone."""

import re
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ViewportSize, expect

from harness.stack import Stack
from tests.browser.conftest import DESKTOP, open_visit
from tests.browser.looks import looks_otherwise
from tests.browser.rooms import becomes, latest_session, people
from tests.browser.visit import Visit
from tests.token_service.players import joined, person_token

PHONE = ViewportSize(width=390, height=844)

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def live(browser: Browser, stack: Stack) -> AsyncGenerator[Visit]:
    """Hold a call while the tests of this file run."""
    await stack.slots_used_become(0)
    async with open_visit(browser, stack, f"{stack.url}/?dev=1") as visit:
        await visit.call("Teacher")
        yield visit


@pytest.fixture(autouse=True)
def idle() -> None:
    """Wait for nothing: the call of this file goes on."""


async def test_the_persona_is_heard(live: Visit) -> None:
    """The page plays the sound of the persona's track."""
    await live.hears(voices=1)


async def test_a_personas_words_appear_in_a_bubble(live: Visit) -> None:
    """A persona's words appear in a bubble with its label."""
    bubble = live.page.locator(".bubble", has_text="Teacher").first
    await expect(bubble.locator("p")).to_have_text(re.compile(r"\w+\W+\w+"))


async def test_levels_come_from_the_sound(live: Visit) -> None:
    """The figures of the persona and of the person grow with the sound of their tracks."""
    await live.sees_level(".seat[data-identity^=agent-teacher-]")
    await live.sees_level(".own")


async def test_the_page_uses_no_other_host(live: Visit, stack: Stack) -> None:
    """The page connects to its own server and to LiveKit only."""
    await live.hears(voices=1)

    assert live.origins <= stack.origins
    assert stack.url in live.origins


async def test_mute_silences_the_microphone_for_the_room(live: Visit, stack: Stack) -> None:
    """A person who presses Mute is muted in LiveKit, until they press Unmute."""
    agent = await live.identity()

    async def muted() -> bool:
        return all(t.muted for person in await people(stack, agent) for t in person.tracks)

    async def heard() -> bool:
        return not await muted()

    await live.press("Mute")
    await becomes(muted)
    await live.press("Unmute")
    await becomes(heard)


async def test_a_muted_person_who_talks_is_told(live: Visit) -> None:
    """A muted person who talks reads that nobody hears them; Space unmutes."""
    await live.page.locator("h1").focus()
    await live.page.keyboard.press("m")
    await live.sees("You are muted, so nobody hears you.")
    assert await live.page.locator(".own-microphone").get_attribute("data-muted") == "true"
    await live.page.keyboard.press("Space")

    await expect(live.page.get_by_text("You are muted")).to_have_count(0)
    await live.sees_level(".own")


async def test_m_and_space_in_a_field_do_not_mute(live: Visit) -> None:
    """M and Space that are typed into a field stay letters."""
    await live.press_tab("Event log")
    field = live.page.get_by_role("searchbox", name="Search the log")
    await field.press_sequentially("my m m")

    await expect(field).to_have_value("my m m")
    await expect(live.page.get_by_role("button", name="Mute", exact=True)).to_be_visible()
    await field.fill("")
    await live.press_tab("Transcript")


async def test_the_drawer_opens_and_closes_by_keys(live: Visit) -> None:
    """Escape closes the drawer and moves the focus to the button that opens it again.

    In a small window it is closed at first, and the caption has the words.
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
    """A persona that was muted for everyone is shown as muted until it is unmuted."""
    seat = live.page.locator(".seat[data-identity^=agent-]")
    await live.press("Mute Teacher for everyone")
    await expect(seat.locator(".doing")).to_have_text("muted")
    await live.press("Unmute Teacher for everyone")

    await expect(seat.locator(".doing")).to_have_text(re.compile("listening|speaking"))


async def test_a_person_alone_with_a_persona_without_mind_cannot_type(live: Visit) -> None:
    """Where neither a mind nor another person reads, there is no field to type into."""
    await live.hears(voices=1)

    assert await live.page.get_by_role("textbox", name="Type to the room").count() == 0


async def test_a_name_written_from_the_right_keeps_its_beginning(live: Visit, stack: Stack) -> None:
    """A name is cut at its own end and stands beside its figure; words say their language."""
    await live.sees_words(1)
    await expect(live.page.locator(".bubble p").first).to_have_attribute("lang", "en")
    room = (await latest_session(stack))["room"]
    names = live.page.locator(".seat .label")
    async with joined(stack.livekit, person_token(stack.livekit, room, "محمد " * 12)):
        await expect(names.nth(1)).to_have_css("direction", "rtl")
    await expect(names).to_have_count(1)


async def test_the_transcript_can_be_saved(live: Visit) -> None:
    """The transcript is saved as text with times and names, and as WebVTT."""
    await live.sees_words(3)
    kept = {}
    for name in ("Text", "WebVTT"):
        async with live.page.expect_download() as download:
            await live.press(name)
        kept[name] = (await (await download.value).path()).read_text()

    assert re.search(r"^\[\d+:\d\d\] Teacher: \w+", kept["Text"], re.MULTILINE)
    assert kept["WebVTT"].startswith("WEBVTT\n\n00:00:")
    assert "<v Teacher>" in kept["WebVTT"]


async def test_the_performance_tab_has_all_figures(live: Visit) -> None:
    """Round trip, transport, slots and the worker's steps are in the tab Performance."""
    await live.press_tab("Performance")
    for text in (r"^\d+ ms$", "UDP", r"step p99 \d+ ms", r"median \d+ ms"):
        await live.sees(re.compile(text))
    await expect(live.page.get_by_role("img", name="1 of 3 places are taken")).to_be_visible()
    await live.press_tab("Transcript")


async def test_the_log_can_be_opened_searched_and_filtered(live: Visit) -> None:
    """A line of the event log opens; a search and a severity leave only matching lines."""
    await live.press_tab("Event log")
    line = live.page.locator(".log-line", has_text="You are in the room")
    await line.locator("summary").click()
    await expect(line.locator("pre")).to_contain_text('"room": "room-')
    await live.page.get_by_role("searchbox", name="Search the log").fill("in the room")
    await expect(live.page.locator(".log-line")).to_have_count(1)
    await live.page.get_by_role("combobox", name="Severity").select_option("error")
    await live.sees("Nothing of this kind.")
    await live.press_tab("Transcript")


async def test_a_chosen_tab_looks_different_in_forced_colours(live: Visit) -> None:
    """Where the system chooses all colours, the tab that is chosen still looks chosen."""
    tab = live.page.get_by_role("tab", name="Event log")
    await live.press_tab("Transcript")
    await live.page.emulate_media(forced_colors="active")

    assert await looks_otherwise(tab, tab)
    await live.page.emulate_media(forced_colors="none")
    await live.press_tab("Transcript")


async def test_echo_cancelling_can_be_changed_in_a_call(live: Visit, stack: Stack) -> None:
    """After a changed switch the room still hears the person's microphone.

    The dialog gives the focus back to the button that opened it.
    """
    await live.press("Sound settings")
    await live.page.get_by_role("switch", name="Cancel echo").uncheck()
    await live.press("Close")
    await expect(live.page.get_by_role("button", name="Sound settings")).to_be_focused()
    [person] = await people(stack, await live.identity())

    await live.sees_level(".own")
    assert [track.muted for track in person.tracks] == [False]
