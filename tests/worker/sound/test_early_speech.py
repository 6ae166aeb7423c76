"""Which recordings the tracks of a room's people get."""

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
from livekit.rtc._proto import room_pb2
from livekit.rtc._proto.track_pb2 import AudioTrackFeature

from protocol import wire
from worker.frames import TRACK_RATE_HZ, TRACK_SAMPLES, power
from worker.sound.early_speech import ENDS_TICKS, EarlySpeech

LOUD = np.full(TRACK_RATE_HZ // 2, 8000, dtype="<i2").tobytes()  # half a second
SILENCE = np.zeros(TRACK_SAMPLES, dtype=np.float32)


def begin(speech: EarlySpeech, track_sid: str) -> None:
    """Begin Ann's recording of a track, as LiveKit tells of it."""
    event = room_pb2.RoomEvent()
    event.stream_header_received.participant_identity = "ann"
    header = event.stream_header_received.header
    header.stream_id, header.topic = track_sid, wire.EARLY_SOUND_TOPIC
    for name, value in (("trackId", track_sid), ("sampleRate", "48000"), ("channels", "1")):
        header.attributes[name] = value
    assert speech.streams.take(event)


def end(speech: EarlySpeech, track_sid: str, data: bytes = LOUD) -> None:
    """Send the sound of a recording, and its end."""
    for kind, field in (("stream_chunk_received", "chunk"), ("stream_trailer_received", "trailer")):
        event = room_pb2.RoomEvent()
        message: Any = getattr(event, kind)
        message.participant_identity = "ann"
        getattr(message, field).stream_id = track_sid
        if field == "chunk":
            message.chunk.content = data
        assert speech.streams.take(event)


def listening(*track_sids: str) -> EarlySpeech:
    """Return the early speech of a room that has subscribed to these tracks of Ann."""
    room: Any = SimpleNamespace(on=lambda *_: None, remote_participants={})
    speech = EarlySpeech(room)
    speech.personas_listen()
    for sid in track_sids:
        features = [AudioTrackFeature.TF_PRECONNECT_BUFFER]
        publication: Any = SimpleNamespace(sid=sid, audio_features=features)
        speech.expect("ann", publication)
    return speech


async def heard(speech: EarlySpeech, track_sid: str) -> bool:
    """Return whether the recording of a track is heard as the track goes on in silence."""
    for _ in range(ENDS_TICKS + 2):
        frame = speech.next_frame(track_sid, SILENCE)
        if frame is not None and power(frame) > 0.01:
            return True
        await asyncio.sleep(0.01)  # a recording is decoded on a thread
    return False


async def test_a_second_microphone_leaves_the_first_ones_recording() -> None:
    """Each of two tracks gets its recording, where the second begins while the first is decoded."""
    speech = listening("TR_1", "TR_2")
    begin(speech, "TR_1")
    end(speech, "TR_1")
    begin(speech, "TR_2")
    assert await heard(speech, "TR_1")
    end(speech, "TR_2")
    assert await heard(speech, "TR_2")


async def test_a_broken_recording_leaves_another_tracks() -> None:
    """A recording that cannot be decoded does not end the wait for another track's."""
    speech = listening("TR_1", "TR_2")
    begin(speech, "TR_1")
    end(speech, "TR_1", b"x")
    begin(speech, "TR_2")
    await asyncio.sleep(0.2)
    end(speech, "TR_2")
    assert await heard(speech, "TR_2")
