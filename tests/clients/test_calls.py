"""Calls made by LiveKit's unmodified React hooks: a second call, personas, early speech."""

import json

import pytest
from playwright.async_api import Browser

from harness.stack import Stack
from tests.clients.call import Call, open_call

EARLY_SOUND_HEARD = '"early_sound_heard"'

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("idle")]


async def test_the_next_call_works_like_the_first(call: Call) -> None:
    """A second call leads to another agent, which is heard; neither causes a failure or warning."""
    await call.start()
    await call.is_answered()
    await call.hears(voices=1)  # the SDK warns of an end before its own microphone is connected
    first = await call.seen("agents")
    await call.end()
    await call.start()
    await call.is_answered()

    assert first != await call.seen("agents")
    await call.hears(voices=1)
    await call.end()
    assert await call.seen("failures") == []
    assert call.complaints == []


async def test_several_agents_are_all_played(browser: Browser, stack: Stack, frontend: str) -> None:
    """Both personas of `agentMetadata` are found by useAgent, and the tracks of both are played."""
    metadata = json.dumps({"personas": ["chef", "astronaut"]})
    async with open_call(
        browser, stack, frontend, agentName="moshi", agentMetadata=metadata
    ) as call:
        await call.start()
        await call.is_answered()
        await call.sees("seen.agents.length === 2")
        await call.sees(
            "[...document.querySelectorAll('audio')].filter((a) => !a.paused).length === 2"
        )

        await call.hears(voices=1)
        agents = sorted(await call.seen("agents"))
        assert [each.split("-")[1] for each in agents] == ["astronaut", "chef"]


async def test_speech_before_the_agent_came_is_heard(
    browser: Browser, stack: Stack, frontend: str
) -> None:
    """The persona hears the sound that the client recorded while it connected."""
    log = stack.folder / "worker.log"
    heard_before = log.read_text().count(EARLY_SOUND_HEARD)
    async with open_call(browser, stack, frontend, preConnect="yes") as call:
        await call.start()
        await call.logs("preconnect buffer sent successfully")
        await call.is_answered()
        await call.hears(voices=1)

    assert log.read_text().count(EARLY_SOUND_HEARD) == heard_before + 1
