"""A voice's track in a room that ends before LiveKit has answered."""

import asyncio
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest
from livekit import rtc
from livekit.rtc.participant import PublishTrackError

from worker.livekit_private.audio_sink import AudioSink
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


async def test_frames_that_come_at_once_are_played_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of three frames at once each is handed over once LiveKit has taken the one before."""
    sent: list[tuple[int, bool]] = []
    send = AudioSink.send

    def recorded(sink: AudioSink, samples: Any) -> None:
        sent.append((int(samples[-1]), sink.is_busy))
        send(sink, samples)

    monkeypatch.setattr(AudioSink, "send", recorded)
    monkeypatch.setattr(voice, "LAG_MS", 1000)
    plays = Voice(room_of(publish_track=publication, unpublish_track=publication), "voice")
    await plays.publish()
    for level in (0.1, 0.2, 0.3):
        plays.play(np.full(1920, level, dtype=np.float32))
    async with asyncio.timeout(10):
        while len(sent) < 3:  # noqa: ASYNC110 - no loop is told
            await asyncio.sleep(0.01)
    await plays.unpublish()

    assert [round(last / 3276.7) for last, _ in sent] == [1, 2, 3]
    assert not any(is_busy for _, is_busy in sent)


async def test_a_sink_knows_how_much_sound_waits() -> None:
    """Sound that was sent waits to be played; LiveKit answers, and a closed sink takes no more."""
    sink = AudioSink(48_000, 200)
    sink.send(np.zeros(3840, dtype=np.int16))
    queued_s = sink.queued_duration
    async with asyncio.timeout(10):
        while sink.is_busy:  # noqa: ASYNC110 - no loop is told
            await asyncio.sleep(0.01)
    await sink.aclose()
    sink.send(np.zeros(3840, dtype=np.int16))

    assert 0.0 < queued_s <= 0.08
    assert not sink.is_busy
