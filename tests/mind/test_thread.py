"""Minds on a thread of their own, used by hosts on other threads."""

import asyncio
import json
import queue
import threading

import pytest

from harness.language_model import ScriptedModel, calls, hang, results_of, says
from mind.events import MindEvent, Say, ToolEnded, ToolStarted, Withdraw
from mind.limits import Limits
from mind.minds import Minds
from mind.room import RoomMind
from mind.thread import MindThread
from protocol.errors import InvalidInput
from tests.mind.conftest import CHEF, PATIENT, WITHIN_S, chat, settings_of


async def next_event(events: "queue.Queue[MindEvent]") -> MindEvent:
    """Return the next event that a host was given."""
    return await asyncio.to_thread(events.get, timeout=WITHIN_S)


async def test_two_rooms_on_one_thread_get_their_own_events(model: ScriptedModel) -> None:
    """Two rooms on one thread get their own events each, even if one host's handler fails."""
    model.otherwise = lambda asked: says(
        "For Bo." if "Bo (typed)" in asked["messages"][1]["content"] else "For Ann."
    )
    minds = await asyncio.to_thread(
        MindThread, lambda: Minds({"chef": chat()}, settings_of(model.url))
    )
    first: queue.Queue[MindEvent] = queue.Queue()
    second: queue.Queue[MindEvent] = queue.Queue()
    threads: set[str] = set()

    def failing(event: MindEvent) -> None:
        threads.add(threading.current_thread().name)
        first.put(event)
        raise RuntimeError("a host's own fault")

    ann = minds.open_room([CHEF], failing)
    bo = minds.open_room([CHEF], second.put)
    ann.call(RoomMind.heard, "Ann", "Hello?", final=True)
    bo.call(RoomMind.typed, "Bo", "Hello?")
    for events, sentence in ((first, "For Ann."), (second, "For Bo.")):
        event = await next_event(events)
        assert isinstance(event, Say) and event.sentence == sentence
    ann.call(RoomMind.heard, "Ann", "Again?", final=True)
    assert isinstance(await next_event(first), Withdraw)
    assert isinstance(await next_event(first), Say)
    assert threads == {"minds"}
    ann.close()
    await asyncio.to_thread(minds.close)
    bo.call(RoomMind.heard, "Bo", "Is anybody there?", final=True)
    bo.close()
    assert all(isinstance(event, Withdraw) for event in second.queue)


async def test_a_command_is_started_from_that_thread(model: ScriptedModel) -> None:
    """A tool server that is a command is started from the minds' thread."""
    model.reply(calls(("opening_hours", {"day": "monday"})), says("Closed."))
    mind = chat({"mcp": ["python", "examples/minds/opening_hours.py"]})
    minds = await asyncio.to_thread(
        MindThread, lambda: Minds({"chef": mind}, settings_of(model.url), Limits(**PATIENT))
    )
    events: queue.Queue[MindEvent] = queue.Queue()
    minds.open_room([CHEF], events.put).call(RoomMind.typed, "Ann", "Open on Monday?")
    seen = [await next_event(events) for _ in range(3)]
    await asyncio.to_thread(minds.close)
    assert [type(event) for event in seen] == [ToolStarted, ToolEnded, Say]
    assert json.loads(results_of(model.requests[1])[0]) == {"result": "Monday: closed"}


async def test_closing_waits_for_no_answer(model: ScriptedModel) -> None:
    """Closing the minds does not wait for a model that hangs."""
    model.reply(hang)
    minds = await asyncio.to_thread(
        MindThread, lambda: Minds({"chef": chat()}, settings_of(model.url))
    )
    room = minds.open_room([CHEF], lambda _: None)
    room.call(RoomMind.typed, "Ann", "Hello?")
    await model.asked.wait()
    async with asyncio.timeout(WITHIN_S):
        await asyncio.to_thread(minds.close)


async def test_a_missing_setting_is_refused_at_the_start() -> None:
    """A mind that needs a model is refused without one, on the caller's thread."""
    with pytest.raises(InvalidInput, match="MIND_URL and MIND_MODEL: expected both"):
        MindThread(lambda: Minds({"chef": chat()}, settings_of(None)))
