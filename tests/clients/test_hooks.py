"""LiveKit's unmodified React hooks in one call with the product: states, words, sound."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from harness.stack import Stack
from tests.clients.call import AGENT_LIMIT_MS, Call, open_call

pytestmark = pytest.mark.asyncio(loop_scope="session")

ANSWERED = {"listening", "speaking"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def live(browser: Browser, stack: Stack, frontend: str) -> AsyncGenerator[Call]:
    """Make one call for all tests of this file."""
    await stack.slots_used_become(0)
    async with open_call(browser, stack, frontend) as call:
        await call.start()
        await call.is_answered()
        yield call


async def test_the_agent_is_there_in_time(live: Call) -> None:
    """useAgent gets from connecting to a listening agent before its own time limit."""
    states = await live.seen("agent")
    began = next(each for each in states if each["state"] != "disconnected")
    answered = next(each for each in states if each["state"] in ANSWERED)

    assert answered["atMs"] - began["atMs"] < AGENT_LIMIT_MS
    assert {each["state"] for each in states} <= {
        "disconnected",
        "connecting",
        "pre-connect-buffering",
        "initializing",
        *ANSWERED,
    }


async def test_the_agent_has_a_voice(live: Call) -> None:
    """useAgent finds the agent's microphone track, and its sound is played."""
    await live.sees("seen.microphone?.startsWith('TR_')")

    await live.hears(voices=1)


async def test_the_voice_assistant_listens_and_speaks(live: Call) -> None:
    """useVoiceAssistant sees the agent connect and speak, in LiveKit's names of states."""
    await live.sees("seen.assistant.some(({ state }) => state === 'speaking')")

    states = await live.states("assistant")
    assert "connecting" in states
    assert set(states) <= {"disconnected", "connecting", "initializing", *ANSWERED}


async def test_words_arrive_as_text_streams(live: Call) -> None:
    """useTranscriptions has the agent's words, with a segment's id and the voice's track."""
    await live.sees("seen.transcriptions.some(({ text }) => /\\w+ \\w+/.test(text))")

    first = (await live.seen("transcriptions"))[0]
    assert first["identity"] == (await live.seen("agents"))[0]
    assert first["attributes"]["lk.segment_id"].startswith("SG_")
    assert first["attributes"]["lk.transcribed_track_id"] == await live.seen("microphone")


async def test_a_finished_segment_is_final(live: Call) -> None:
    """useTranscriptions marks a segment as final once it is over."""
    await live.sees(
        "seen.transcriptions.some(({ attributes }) =>"
        " attributes['lk.transcription_final'] === 'true')"
    )


async def test_words_arrive_as_older_packets_too(live: Call) -> None:
    """useVoiceAssistant's transcriptions have the same segments and text."""
    await live.sees("seen.packets.some(({ final }) => final)")

    packet = next(each for each in await live.seen("packets") if each["final"])
    streams = await live.seen("transcriptions")
    assert packet["text"] in [
        each["text"] for each in streams if each["attributes"]["lk.segment_id"] == packet["id"]
    ]


async def test_words_are_the_agents_messages(live: Call) -> None:
    """useSessionMessages lists the words as messages of the agent's participant."""
    await live.sees("seen.messages.length")

    kind, _, sender = (await live.seen("messages"))[0]
    assert (kind, sender) == ("agentTranscript", (await live.seen("agents"))[0])
