"""Personas hear what people said before the personas had joined, in a real room."""

import asyncio

import numpy as np
import pytest
from livekit import rtc

from harness.person import RATE_HZ, Person, eventually, fetch_token
from harness.rooms import all_free, asking_for, in_talk
from harness.stack import Stack
from protocol import wire

EARLY_HZ, LIVE_HZ, FORGED_HZ = 600.0, 900.0, 1_500.0
EARLY_S = 1.5


def tone(hz: float) -> bytes:
    """Return a tone as 16-bit samples, as mobile SDKs send it."""
    t = np.arange(int(EARLY_S * RATE_HZ)) / RATE_HZ
    return (0.4 * np.sin(2 * np.pi * hz * t) * 32767).astype("<i2").tobytes()


async def publish(ann: Person) -> rtc.LocalTrackPublication:
    """Publish a microphone that announces a recording of its earlier sound."""
    source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=100)
    track = rtc.LocalAudioTrack.create_audio_track("mouth", source)
    options = rtc.TrackPublishOptions(
        source=rtc.TrackSource.SOURCE_MICROPHONE, preconnect_buffer=True
    )
    mouth = await ann.room.local_participant.publish_track(track, options)
    ann.spawn(ann.say_tone(source, lambda: ann.tone_hz))
    return mouth


async def send(ann: Person, to: str, track_sid: str, hz: float, rate_hz: int = RATE_HZ) -> None:
    """Send a recording to an agent as LiveKit's clients do."""
    attributes = {"trackId": track_sid, "sampleRate": str(rate_hz), "channels": "1"}
    writer = await ann.room.local_participant.stream_bytes(
        "preconnect-buffer",
        topic=wire.EARLY_SOUND_TOPIC,
        destination_identities=[to],
        attributes=attributes,
    )
    await writer.write(tone(hz))
    await writer.aclose()


def heard_hz(ann: Person, agent: str) -> list[float]:
    """Return the pitch of each voiced 100 ms that Ann heard of a persona."""
    chunks = ann.heard.get(agent, [])
    pieces = [np.concatenate(chunks[at : at + 10]) for at in range(0, len(chunks) - 9, 10)]
    voiced = [each for each in pieces if np.sqrt(np.mean(each**2)) > 0.05]
    hz = RATE_HZ / len(pieces[0]) if pieces else 0.0
    return [
        float(np.argmax(np.abs(np.fft.rfft(each * np.hanning(len(each))))) * hz) for each in voiced
    ]


def is_hz(heard: list[float], hz: float) -> bool:
    """Return whether the list has one pitch, which is this one."""
    return len(heard) == 1 and abs(heard[0] - hz) < 20


async def join_with(stack: Stack, *personas: str) -> Person:
    """Join a room with personas; return the person, who has not published anything."""
    token = await fetch_token(stack.url, asking_for(*personas))
    ann = Person(rtc.Room(), keep_chunks=3_000)
    ann.listen()
    options = rtc.RoomOptions(single_peer_connection=False)
    await ann.room.connect(token["server_url"], token["participant_token"], options)
    await eventually(lambda: len(ann.personas) == len(personas), "the personas join")
    return ann


async def leave(ann: Person, stack: Stack) -> None:
    """Leave the room, and wait until its slots are free."""
    for task in list(ann.tasks):
        task.cancel()
    await asyncio.gather(*ann.tasks, return_exceptions=True)
    await ann.room.disconnect()
    await all_free(stack)


@pytest.mark.alone
async def test_a_persona_hears_the_recording_before_later_speech(echo: Stack) -> None:
    """The persona hears the recording once and whole, then the live track."""
    ann = await join_with(echo, "chef")
    [chef] = [each.identity for each in ann.personas]
    ann.tone_hz = LIVE_HZ
    mouth = await publish(ann)
    await send(ann, chef, mouth.sid, EARLY_HZ)
    await eventually(lambda: is_hz(heard_hz(ann, chef)[-1:], LIVE_HZ), "both are heard")
    heard = [hz for hz in heard_hz(ann, chef) if is_hz([hz], EARLY_HZ) or is_hz([hz], LIVE_HZ)]
    await leave(ann, echo)

    early = [hz for hz in heard if is_hz([hz], EARLY_HZ)]
    assert EARLY_S * 10 - 3 <= len(early) <= EARLY_S * 10 + 1, heard
    assert heard[: len(early)] == early, heard


async def test_all_personas_hear_a_recording_that_one_of_them_got(echo: Stack) -> None:
    """A recording that was sent to one persona is heard by all of the room."""
    ann = await join_with(echo, "chef", "teacher")
    mouth = await publish(ann)
    [teacher] = [each for each in ann.personas if each.attributes[wire.ATTR_PERSONA] == "teacher"]
    await send(ann, teacher.identity, mouth.sid, EARLY_HZ)
    for each in ann.personas:
        await eventually(lambda who=each: is_hz(heard_hz(ann, who.identity)[:1], EARLY_HZ), "heard")
    await leave(ann, echo)


async def test_bad_recordings_are_ignored_and_logged(echo: Stack) -> None:
    """A recording for another's track, or at no valid rate, is logged, and no persona hears it."""
    ann = await join_with(echo, "chef")
    await in_talk(ann)
    [chef] = ann.personas
    ben_token = await fetch_token(echo.url, {"room_name": ann.room.name})
    ben = Person(rtc.Room())
    await ben.room.connect(ben_token["server_url"], ben_token["participant_token"])
    mouth = await publish(ann)
    await send(ben, chef.identity, mouth.sid, FORGED_HZ)
    await send(ann, chef.identity, mouth.sid, FORGED_HZ, rate_hz=1)
    ann.tone_hz = LIVE_HZ
    await eventually(lambda: is_hz(heard_hz(ann, chef.identity)[-1:], LIVE_HZ), "she is heard live")
    log = (echo.folder / "worker.log").read_text()
    await ben.room.disconnect()
    await leave(ann, echo)

    assert not any(abs(hz - FORGED_HZ) < 20 for hz in heard_hz(ann, chef.identity))
    assert "it is of another participant's track" in log
    assert "1 channels at 1 Hz" in log
