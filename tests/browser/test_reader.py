"""What a screen reader reads: the page as Chromium's accessibility tree, in reading order."""

import pytest
from playwright.async_api import expect

from tests.browser.visit import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

START = """
- banner:
  - 'button "Theme: system"'
- main:
  - heading "It listens while it speaks." [level=1]
  - paragraph: /These are AI voices/
  - region "Choice":
    - group "Who do you want to talk to?":
      - checkbox "Assistant" [checked]
      - checkbox "Astronaut"
      - paragraph: "You could ask:"
      - list:
        - listitem: /eggs/
      - paragraph: Choose more than one for a group conversation.
    - group
    - group
    - group
  - region "Start":
    - button "Start talking"
    - status: Your browser will ask for the microphone.
"""
CALL = """
- banner:
  - status: Live
- main:
  - heading "Call" [level=1]
  - list "In the room":
    - listitem:
      - button "Mute Assistant for everyone"
      - slider "Volume of Assistant": "1"
      - button "More for Assistant"
  - region "Controls":
    - status: /You could ask|Go ahead/
    - button "Mute"
    - button "Sound settings"
    - button "Hang up"
    - button "Transcript" [expanded]
    - button "Add a voice"
  - region "Transcript":
    - log "Transcript":
      - article: /Assistant/
    - button "Copy"
    - button "Text"
    - button "WebVTT"
"""
SHEET = """
- dialog "Assistant":
  - heading "Assistant" [level=2]
  - button "Close"
  - textbox "A sentence to say"
  - button "Say this" [disabled]
  - button "Start fresh"
  - status
"""
END = """
- banner:
  - status: Ended
- main:
  - heading "Call" [level=1]
  - list "In the room":
    - listitem: Assistant gone
  - region "Controls":
    - paragraph: You left the call.
    - button "Call again"
    - button "Choose voices"
    - region "Keep this conversation":
      - heading "Keep this conversation" [level=2]
      - button "Copy"
      - button "Text"
      - button "WebVTT"
    - group "How did it go?":
      - button "1 of 5"
      - button "5 of 5"
  - region "Transcript":
    - log "Transcript":
      - article: /Assistant/
"""


async def test_a_screen_reader_gets_every_screen_in_order(visit: Visit) -> None:
    """Start, call, sheet and end have their headings, regions, controls and status in order.

    Each sentence is added to a live region, which does not go with the drawer.
    """
    body = visit.page.locator("body")
    await expect(body).to_match_aria_snapshot(START)
    await visit.call("Assistant")
    await visit.sees_words(1)
    await expect(body).to_match_aria_snapshot(CALL)
    await visit.press("More for Assistant")
    await expect(body).to_match_aria_snapshot(SHEET)
    await visit.press("Close")
    await visit.press("Transcript")  # closes it
    await expect(visit.page.get_by_role("log")).to_have_count(0)
    sentences = visit.page.locator("[aria-live=polite] p")
    await expect(sentences.nth(1)).to_contain_text("Assistant: la")
    await visit.press("Transcript")
    await visit.press("Hang up")
    await visit.reaches("ended")
    await expect(body).to_match_aria_snapshot(END)
