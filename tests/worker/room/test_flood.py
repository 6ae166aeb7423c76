"""A participant that floods the room while LiveKit is slow; stand-ins replace LiveKit."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from worker.livekit_private.early_streams import EarlyStreams
from worker.livekit_private.incoming import DISCARDED_AT_ONCE
from worker.room import chat as chat_module
from worker.room.chat import Chat


def packet() -> Any:
    """Return a message of eve that nobody reads, as LiveKit's native library tells of it."""
    return SimpleNamespace(
        WhichOneof=lambda _: "chat_message",
        chat_message=SimpleNamespace(participant_identity="eve"),
    )


async def test_a_participant_that_could_not_be_removed_is_removed_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A flood that goes on after a removal failed leads to another removal."""
    filters: list[Any] = []
    events = SimpleNamespace(add_room=lambda _, accepts: filters.append(accepts))
    monkeypatch.setattr(chat_module, "native_events", lambda: events)
    tried: list[str] = []

    async def remove(identity: str) -> None:
        tried.append(identity)
        if len(tried) == 1:
            raise TimeoutError

    early = EarlyStreams(*[lambda *_: None] * 3)
    room: Any = SimpleNamespace(name="kitchen", on=lambda *_: None)
    chat = Chat(room, lambda *_: None, remove, early)
    for _ in range(2):
        for _ in range(2 * DISCARDED_AT_ONCE):
            filters[0](packet())
        await asyncio.sleep(0.01)
    chat.close()

    assert tried == ["eve", "eve"]
