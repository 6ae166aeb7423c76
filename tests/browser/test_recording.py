"""A recorded room on the page: the question before it, and the badge in the call."""

import httpx
import pytest
from livekit.api import ListParticipantsRequest, LiveKitAPI, ParticipantInfo
from playwright.async_api import Browser, expect

from harness.stack import Stack
from protocol import wire
from tests.browser.conftest import open_visit

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_person_agrees_or_not_and_everybody_knows(browser: Browser, stack: Stack) -> None:
    """Each of two guests is asked, sees a badge and keeps the focus; one has agreed in LiveKit."""
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False, timeout=20) as http:
        asked = {"personas": ["chef"], "record": True}
        session = (await http.post("/sessions", json=asked)).json()
        bearer = (await http.post(f"/sessions/{session['id']}/guests")).json()["bearer"]
        link = f"{stack.url}/?room={session['room']}#guest={bearer}"
        async with open_visit(browser, stack, link) as gus, open_visit(browser, stack, link) as eve:
            for visit, name in ((gus, "Gus"), (eve, "Eve")):
                await visit.page.get_by_role("textbox", name="Your name").fill(name)
                await visit.press("Join the room")
                await visit.sees("What you say is stored only if you agree")
            await gus.press("Agree and join")
            await eve.press("Join without being recorded")
            await gus.focus_is_kept()
            for visit, badge in (
                (gus, "This call is recorded"),
                (eve, "This call is recorded, without you"),
            ):
                shown = visit.page.get_by_role("status").filter(has_text=badge)
                await expect(shown).to_have_text(badge)
            async with stack.livekit.client() as lkapi:
                agreed = await agreed_in(lkapi, session["room"])
    assert agreed == {"Gus": True, "Eve": False}


async def agreed_in(lkapi: LiveKitAPI, room: str) -> dict[str, bool]:
    """Return which people of a room have agreed to be recorded, by name, as LiveKit lists them."""
    listed = await lkapi.room.list_participants(ListParticipantsRequest(room=room))
    return {
        each.name: each.attributes.get(wire.ATTR_RECORD_CONSENT) == "true"
        for each in listed.participants
        if each.kind != ParticipantInfo.Kind.AGENT
    }
