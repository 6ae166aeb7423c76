"""A voice's track in a room that ends before LiveKit has answered."""

import asyncio
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from livekit import rtc
from livekit.rtc.participant import PublishTrackError

from worker.sound import voice
from worker.sound.voice import Voice


async def never(*_: Any) -> NoReturn:
    """Give no answer."""
    await asyncio.sleep(60)
    raise AssertionError


async def publication(*_: Any) -> Any:
    """Answer that the track is published."""
    return SimpleNamespace(sid="TR_1")


def room_of(**participant: Any) -> rtc.Room:
    """Return a room with this local participant, still connected."""
    local: Any = SimpleNamespace(**participant)
    room: Any = SimpleNamespace(local_participant=local, isconnected=lambda: True)
    return room


async def test_a_voice_that_is_not_unpublished_lets_its_participant_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without an answer to unpublishing, the voice ends all the same."""
    monkeypatch.setattr(voice, "UNPUBLISH_WITHIN_S", 0.01)
    ends = Voice(room_of(publish_track=publication, unpublish_track=never), "voice")
    await ends.publish()
    await ends.fade_out()

    await asyncio.wait_for(ends.unpublish(), 10)


async def test_a_voice_waits_for_no_answer_of_a_room_that_has_ended() -> None:
    """Where the room ends while a voice is being published, `publish` raises at once."""
    connected = [True]
    room: Any = room_of(publish_track=never)
    room.isconnected = lambda: bool(connected)
    publishing = asyncio.create_task(Voice(room, "voice").publish())
    await asyncio.sleep(0.05)
    connected.clear()

    with pytest.raises(PublishTrackError, match="no answer"):
        await asyncio.wait_for(publishing, 2)


async def test_a_voice_that_is_not_published_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer to publishing, `publish` raises what it raises for a refusal."""
    monkeypatch.setattr(voice, "PUBLISH_WITHIN_S", 0.01)
    begins = Voice(room_of(publish_track=never), "voice")

    with pytest.raises(PublishTrackError, match="no answer"):
        await begins.publish()
    await begins.unpublish()
