"""Attributes of the worker's own participants, beside a stand-in for LiveKit's answers."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from livekit.rtc.event_emitter import EventEmitter

from worker.livekit_private.attributes import CHANGED, set_attributes

CHANGES = {"state": "listening", "floor": ""}
WITHIN_S = 5.0


class Room(EventEmitter[Any]):
    """A room whose own participant's changes are answered as `answer` says."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.asked: list[dict[str, str]] = []
        self._answer = answer
        self.local_participant = SimpleNamespace(attributes={"floor": "true"}, set_attributes=self)

    async def __call__(self, changes: dict[str, str]) -> None:
        """Note a change, and answer."""
        self.asked.append(changes)
        await self._answer()

    def shows(self, **attributes: str) -> None:
        """Show the participant with other attributes, as LiveKit does."""
        self.local_participant.attributes = attributes
        self.emit(CHANGED, attributes, self.local_participant)


async def never() -> None:
    """Give no answer: the native library has missed it."""
    await asyncio.Event().wait()


async def test_a_change_that_everybody_sees_is_done_without_its_answer() -> None:
    """LiveKit's answer may be missed; a change is done once the room shows all of it."""
    room: Any = Room(never)
    setting = asyncio.create_task(set_attributes(room, CHANGES))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    room.emit(CHANGED, {}, SimpleNamespace(attributes=CHANGES))  # somebody else
    room.shows(state="listening", floor="true")
    await asyncio.sleep(0)
    assert not setting.done()
    room.shows(state="listening")
    await asyncio.wait_for(setting, WITHIN_S)

    assert room.asked == [CHANGES]
    assert not room._events[CHANGED], "nobody looks any more"


async def test_an_answer_is_enough() -> None:
    """Who may not see the change, or changes nothing, has the answer alone."""
    room: Any = Room(lambda: asyncio.sleep(0))
    await asyncio.wait_for(set_attributes(room, CHANGES), WITHIN_S)

    assert room.asked == [CHANGES]


async def test_a_connection_that_is_gone_is_told() -> None:
    """An error of LiveKit's library reaches the caller."""

    async def fail() -> None:
        raise ConnectionError("gone")

    room: Any = Room(fail)
    with pytest.raises(ConnectionError):
        await set_attributes(room, CHANGES)
