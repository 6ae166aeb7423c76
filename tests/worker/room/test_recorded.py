"""Recorded calls: who is recorded and when, who knows of it, and what ends a recording."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from harness.person import WITHIN_S, Person, eventually, fetch_token, joined
from harness.rooms import all_free, in_talk, room_events
from harness.stack import Stack
from protocol import wire
from protocol.events import RecordingEvent
from tests.worker.recording.listening import Samples, channels, found_at_s
from tests.worker.recording.test_part import noise
from tests.worker.scripted.schedule import Schedule, SpeechPlan

HZ = {"chef": 700.0, "teacher": 1000.0}  # greetings have 440 Hz
TURN_FRAMES = 12
AGREED = {"participant_attributes": {wire.ATTR_RECORD_CONSENT: "true"}}
NEAR_S = 1.0  # from a mouth to the worker, on a busy machine
SETTLED_S = 1.0  # longer than the half second between two writes


def api(stack: Stack) -> httpx.AsyncClient:
    """Return a client of the token service."""
    return httpx.AsyncClient(base_url=stack.url, trust_env=False, timeout=20)


async def open_recorded(stack: Stack) -> dict[str, Any]:
    """Open a recorded session for Ann, who agrees."""
    asked = {"identity": "ann", "name": "Ann", "personas": list(HZ), "wait": True}
    async with api(stack) as http:
        answer = await http.post("/sessions", json=asked | {"record": True, "record_consent": True})
    assert answer.status_code == httpx.codes.CREATED, answer.text
    assert answer.json()["recording"] == "ask"
    return answer.json()


@asynccontextmanager
async def guest(stack: Stack, room: str, name: str, **asked: Any) -> AsyncGenerator[Person]:
    """Join as another person."""
    request = {"room_name": room, "participant_identity": name.lower(), "participant_name": name}
    token = await fetch_token(stack.url, request | asked)
    assert token["recording"] == "ask"
    async with joined(token["server_url"], token["participant_token"]) as person:
        yield person


async def speak(person: Person, seed: int) -> float:
    """Say 0.8 s of noise; return when it began, in seconds of the epoch."""
    began_s = time.time()
    person.speech = noise(seed, 10, 24_000)
    await eventually(lambda: person.speech is None, "it was said")
    await asyncio.sleep(0.5)
    return began_s


def said_at_48_khz(seed: int) -> Samples:
    """Return the noise of a seed, at 48 kHz."""
    return np.repeat(noise(seed, 10, 24_000), 2)


def shows_recording(person: Person) -> bool:
    """Return whether a client sees that the room is recorded."""
    return any(each.attributes.get(wire.ATTR_RECORDING) == "true" for each in person.personas)


def tone(hz: float) -> Samples:
    """Return the tone that a persona says in one turn, at 48 kHz."""
    return np.sin(2 * np.pi * hz * np.arange(TURN_FRAMES * 3840) / 48_000).astype(np.float32)


async def download(stack: Stack, session: str, folder: Path) -> dict[str, Path]:
    """Fetch every file of a session's recording, which has one part."""
    async with api(stack) as http:
        async with asyncio.timeout(WITHIN_S):  # its thread still writes when the slots are free
            part, [now] = None, (await http.get(f"/sessions/{session}/recordings")).json()
            while part != now:
                await asyncio.sleep(SETTLED_S)
                part, [now] = now, (await http.get(f"/sessions/{session}/recordings")).json()
        assert part in (await http.get("/recordings")).json()
        paths: dict[str, Path] = {}
        for name, size in part["files"].items():
            answer = await http.get(f"/sessions/{session}/recordings/{name}")
            assert len(answer.content) == size
            path = paths[name.rpartition(".")[2]] = folder / name
            path.write_bytes(answer.content)
    return paths


async def hold_call(stack: Stack, schedule: Schedule, turns: int = 1) -> tuple[str, list[float]]:
    """Hold a call of three people and two personas; return the session, and when each turn began.

    Ann and Ben have agreed, Carl has not. Each speaks `turns` times, then each persona.
    """
    schedule.write({})
    session, spoken_s = await open_recorded(stack), []
    async with (
        joined(session["server_url"], session["participant_token"]) as ann,
        guest(stack, session["room"], "Ben", **AGREED) as ben,
        guest(stack, session["room"], "Carl") as carl,
    ):
        await in_talk(ann, 2)
        await eventually(lambda: all(map(shows_recording, (ann, ben, carl))), "everybody knows")
        for turn in range(turns):
            for seed, person in enumerate((ann, ben, carl), start=10 * turn):
                spoken_s.append(await speak(person, seed))
            ann.messages.clear()
            for name, hz in HZ.items():
                schedule.write({name: SpeechPlan(at=2, speaks=TURN_FRAMES, hz=hz)})
                await eventually(lambda name=name: finished(ann, name), f"{name} has spoken")
        await ann.room.local_participant.send_text("Typed.", topic=wire.CHAT_TOPIC)
        await eventually(lambda: bool(ann.chat), "the line was answered")
    await all_free(stack)
    return session["id"], spoken_s


def finished(person: Person, name: str) -> bool:
    """Return whether a person has read a final segment of a persona."""
    return any(each.persona == name and "la" in each.text for each in person.messages)


@pytest.mark.alone
async def test_people_who_agreed_and_all_personas_are_recorded(
    scripted: Stack, schedule: Schedule, tmp_path: Path
) -> None:
    """People who agreed are left, personas right, at their times; one who did not is missing.

    The words have the same clock. The recording outlives the session until it is deleted.
    """
    session, spoken_s = await hold_call(scripted, schedule)
    files = await download(scripted, session, tmp_path)
    left, right = channels(files["ogg"])
    words = json.loads(files["json"].read_text())
    captions = files["vtt"].read_text()

    for seed, began_s in enumerate(spoken_s[:2]):
        found_s, likeness = found_at_s(said_at_48_khz(seed), left)
        assert likeness > 0.4
        assert abs(words["started_s"] + found_s - began_s) < NEAR_S
        assert found_at_s(said_at_48_khz(seed), right)[1] < 0.2
    assert found_at_s(said_at_48_khz(2), left)[1] < 0.2, "Carl has not agreed"
    for name, hz in HZ.items():
        found_s, likeness = found_at_s(tone(hz), right)
        assert likeness > 0.8
        [said_s] = [
            each["start_s"]
            for each in words["segments"]
            if each["persona"] == name and each["text"].startswith("la la")
        ]
        assert abs(said_s - found_s) < 0.2
    assert [each["text"] for each in words["segments"] if each["typed"]] == ["Typed."]
    assert "<v.typed Ann>Typed.</v>" in captions and "<v Chef>la la" in captions
    assert abs(words["duration_s"] - left.size / 48_000) < 0.1
    async with api(scripted) as http:
        assert (await http.delete(f"/sessions/{session}/recordings")).status_code == 204
        assert (await http.get(f"/sessions/{session}/recordings")).json() == []


async def test_a_full_disk_ends_the_recording_and_not_the_call(
    scripted: Stack, schedule: Schedule
) -> None:
    """On a full disk the recording ends with an event and a log line, and the persona goes on."""
    schedule.write({})
    session = await open_recorded(scripted)
    marker = scripted.folder / "recordings" / "full"
    marker.touch()
    try:
        async with joined(session["server_url"], session["participant_token"]) as ann:
            await in_talk(ann, 2)
            events: list[RecordingEvent] = []
            while len(events) < 2:
                await asyncio.sleep(0.05)
                found = await room_events(scripted, session["room"])
                events = [each for each in found if isinstance(each, RecordingEvent)]
            schedule.write({"chef": SpeechPlan(speaks=TURN_FRAMES)})
            await eventually(lambda: finished(ann, "chef"), "the chef goes on")
            assert not shows_recording(ann)
    finally:
        marker.unlink()
    assert [each.change for each in events] == ["started", "ended"]
    assert events[1].detail == "The recording ended: No space left on device."
    assert "No space left on device" in (scripted.folder / "worker.log").read_text()
    await all_free(scripted)
