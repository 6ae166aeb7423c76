"""Which tracks ears listen to, with stand-ins for a room and its tracks."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from livekit import rtc

from worker.frames import FRAME_S
from worker.sound import ears as ears_module
from worker.sound.ears import Ears


async def test_ears_that_are_closed_listen_to_no_further_track(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host waits for the last words after it has closed its ears: no stream is opened then."""
    opened: list[object] = []
    monkeypatch.setattr(ears_module, "TrackStream", lambda track, _: opened.append(track))
    wanted: list[bool] = []
    microphone = SimpleNamespace(
        sid="TR_1",
        kind=rtc.TrackKind.KIND_AUDIO,
        source=rtc.TrackSource.SOURCE_MICROPHONE,
        encryption_type=rtc.EncryptionType.NONE,
        set_subscribed=wanted.append,
    )
    ann = SimpleNamespace(
        identity="ann",
        kind=rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD,
        track_publications={"TR_1": microphone},
    )
    room: Any = rtc.EventEmitter[str]()
    room.remote_participants = {}
    ears = Ears(room)
    ears.close()
    room.emit("track_published", microphone, ann)
    room.emit("track_subscribed", microphone, microphone, ann)
    await asyncio.sleep(FRAME_S)

    assert (wanted, opened) == ([], [])
