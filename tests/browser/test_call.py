"""The page against the real product: calls, from the click to the last resource."""

from pathlib import Path
from uuid import uuid4

import av
import numpy as np
import numpy.typing as npt
import pytest
from playwright.async_api import Browser, expect

from harness.stack import Stack
from tests.browser.conftest import open_visit
from tests.browser.rooms import latest_session, people, people_left, service_of
from tests.browser.visit import AUDIBLE_RMS, Visit

CENSUS, PHONE = (Path(__file__).with_name(name) for name in ("census.js", "phone.js"))
CALLS = 2

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_double_click_on_start_is_one(visit: Visit) -> None:
    """On a phone the way out comes where the start button was; a second click does not take it."""
    page = visit.page
    await page.set_viewport_size({"width": 360, "height": 640})
    await page.route("**/sessions", lambda _: None)  # never answered
    box = await page.locator(".launch .go").bounding_box()
    assert box
    await page.mouse.dblclick(box["x"] + box["width"] * 0.7, box["y"] + box["height"] - 8)

    await visit.sees("Asking for a place")
    await visit.press("Cancel")


async def test_calls_leave_no_resources_open(browser: Browser, stack: Stack) -> None:
    """The last call has as much open as the first, and after it nothing is open.

    Each call has its own room. No warning or error is logged; choice and volume are kept.
    """
    async with open_visit(browser, stack, script=CENSUS, motion="no-preference") as visit:
        await visit.test_microphone()
        await visit.call("Chef")
        agents = [await visit.identity()]
        await visit.hears(voices=1)  # its player is there
        first = await visit.still_open()
        await visit.set_volume("Chef", 0.3)
        while len(agents) < CALLS:
            await visit.forget_sounds()
            await visit.press("Hang up")
            await visit.call_again()
            agents.append(await visit.identity())
        await visit.hears(voices=1)
        last, volumes = await visit.still_open(), await visit.volumes()
        await visit.press("Hang up")
        await visit.reaches("ended")
        await people_left(stack, agents[-1])
        await visit.press("Choose voices")
        picked = visit.page.locator(".card:has(:checked) .label")
        await expect(picked).to_have_text(["Chef"])

        assert len(set(agents)) == CALLS
        assert first == last
        assert volumes == [0.3]
        assert first["tracks"] == first["sockets"] == first["players"] == 1
        assert set((await visit.still_open()).values()) == {0}
        assert visit.complaints == []


async def type_twice(ann: Visit) -> None:
    """Type two lines: press Enter twice, and click twice on Send."""
    line = ann.page.get_by_role("textbox", name="Type to the room")
    await line.fill("By keys.")
    await line.press("Enter")
    await line.press("Enter")
    await line.fill("By mouse.")
    await ann.page.get_by_role("button", name="Send").dblclick(delay=60)


async def is_muted_and_heard_again(ann: Visit, other: str) -> None:
    """Check that the only person who can be heard is not while muted, and without a slider."""
    await ann.forget_sounds()
    await ann.hears(voices=1)
    await ann.press(f"Mute {other} for me")
    await ann.hears_nothing()
    await ann.press(f"Unmute {other} for me")
    await ann.hears(voices=1)

    assert await ann.page.get_by_role("slider").count() == 0


async def test_two_tabs_with_one_link_share_a_room(browser: Browser, stack: Stack) -> None:
    """Two people with a link see, read and mute for each other, and one may stay alone.

    A person who cancels before joining changes nothing. The second tab is made of the first and has
    a copy of its storage: it is another person all the same, and puts nobody out of the room. As on
    iOS there is no slider; a person that is muted is not played until unmuted.
    """
    url = f"{stack.url}/?room=den-{uuid4().hex[:6]}&persona=chef"  # the room keeps who is muted
    async with open_visit(browser, stack, url, script=PHONE) as ann:
        await ann.join("Ann")
        async with ann.page.expect_popup() as opened:
            await ann.page.evaluate("() => void window.open(location.href)")
        bea = Visit(await opened.value, url)
        await bea.may_start()
        await bea.cancel_join()
        await bea.join("Bea")
        for visit, other in ((ann, "Bea"), (bea, "Ann")):
            await expect(visit.page.locator(".seat .label")).to_have_text(["Chef", other])
        assert len(await people(stack, await bea.identity())) == 2
        await type_twice(ann)
        for visit in (ann, bea):
            said = visit.page.get_by_role("log")
            await expect(said).to_contain_text("By mouse.")
            words = await said.inner_text()
            assert (words.count("By keys."), words.count("By mouse.")) == (1, 1)
        own = ann.page.locator(".bubble[data-own=true]")
        await expect(own.first).to_contain_text("By keys.")
        await ann.press("Mute Chef for everyone")
        await is_muted_and_heard_again(ann, "Bea")
        await bea.press("Unmute Chef for everyone")
        await expect(ann.page.get_by_role("button", name="Mute Chef for everyone")).to_be_visible()
        await ann.press("Hang up")
        await expect(bea.page.locator(".seat .label")).to_have_text(["Chef"])

        assert len(await people(stack, await bea.identity())) == 1
        await bea.hears(voices=1)


async def test_a_call_can_be_kept_and_rated(visit: Visit, stack: Stack) -> None:
    """The saved sound has the person left and the persona right; a rating becomes an event."""
    await visit.call("Assistant")
    await visit.sees_level(".own")
    await visit.hears(voices=1)
    session = (await latest_session(stack))["id"]
    await visit.press("Hang up")
    await visit.sees("Keep this conversation")
    async with visit.page.expect_download() as download:
        await visit.page.get_by_role("button", name="Sound, 1 min").click()
    person, voice = _channels(await (await download.value).path())
    await visit.press("4 of 5")
    await visit.sees("Thank you.")
    async with service_of(stack) as http:
        events = await http.get(f"/sessions/{session}/events", params={"follow": False})

    assert min(np.abs(person).max(), np.abs(voice).max()) > AUDIBLE_RMS
    assert abs(np.corrcoef(person, voice)[0, 1]) < 0.5
    assert '"rating":4' in events.text


def _channels(path: Path) -> npt.NDArray[np.float32]:
    """Return a recording, `[2, n]`."""
    with av.open(str(path)) as recording:
        frames = [frame.to_ndarray() for frame in recording.decode(audio=0)]
    return np.concatenate(frames, axis=1)
