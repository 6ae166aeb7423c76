"""Programs without WebRTC in a session: they hear the persona and each other, and get JSON.

The product is real, with the echo as the persona and Whisper for people's words.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.person import eventually
from harness.recordings import is_heard_as, recording
from harness.rooms import all_free
from harness.stack import Stack, room_processes
from tests.worker.websocket.program import Program, taking_part

ANN_HZ, BOB_HZ = 500.0, 1_500.0
WORDS_WITHIN_S = 60.0


@pytest.fixture
async def http(echo_with_whisper: Stack) -> AsyncGenerator[httpx.AsyncClient]:
    """Return a client of the token service."""
    async with httpx.AsyncClient(
        base_url=echo_with_whisper.url, trust_env=False, timeout=20
    ) as http:
        yield http


@pytest.fixture
async def session(echo_with_whisper: Stack, http: httpx.AsyncClient) -> AsyncGenerator[str]:
    """Open a session with one persona; end it, and wait until its slot is free."""
    await all_free(echo_with_whisper)
    opened = await http.post("/sessions", json={})
    assert opened.status_code == 201, opened.text
    yield opened.json()["id"]
    await http.delete(f"/sessions/{opened.json()['id']}")
    await all_free(echo_with_whisper)


async def people(http: httpx.AsyncClient, session: str) -> list[str]:
    """Return the identities of a session's people."""
    return [each["identity"] for each in (await http.get(f"/sessions/{session}")).json()["people"]]


async def ready(there: Program) -> dict[str, Any]:
    """Wait until a program is in the room; return the message that says so."""
    await there.until(lambda: bool(there.all_of("ready")), "ready")
    return there.all_of("ready")[0]


@pytest.mark.parametrize("sound_format", ["pcm", "opus"])
async def test_a_tone_comes_back_from_the_persona(
    echo_with_whisper: Stack, session: str, sound_format: str
) -> None:
    """In either format a program hears the echo of what it says now, and not clipped."""
    async with taking_part(echo_with_whisper.url, session, sound_format, identity="ann") as ann:
        message = await ready(ann)
        ann.tone_hz = ANN_HZ
        await ann.until(lambda: ann.hears(ANN_HZ), "the echo")
        assert not ann.hears(3 * ANN_HZ), "a clipped tone has a third harmonic"
        ann.tone_hz = BOB_HZ
        await ann.until(lambda: ann.hears(BOB_HZ) and not ann.hears(ANN_HZ), "the next tone alone")
        await ann.until(lambda: bool(ann.all_of("state")), "the persona's state")

    assert (message["identity"], message["format"], message["sample_rate_hz"]) == (
        "ann",
        sound_format,
        24_000,
    )
    assert {each["persona"] for each in ann.all_of("state")} == {"assistant"}


async def test_two_programs_hear_each_other_and_the_persona(
    echo_with_whisper: Stack, http: httpx.AsyncClient, session: str
) -> None:
    """While the persona is muted, each program hears the other one and not itself."""
    async with (
        taking_part(echo_with_whisper.url, session) as ann,
        taking_part(echo_with_whisper.url, session, "opus") as bob,
    ):
        await asyncio.gather(ready(ann), ready(bob))
        ann.tone_hz, bob.tone_hz = ANN_HZ, BOB_HZ
        for each in (ann, bob):
            await each.until(lambda each=each: each.hears(ANN_HZ) and each.hears(BOB_HZ), "both")
        await http.post(f"/sessions/{session}/mute", json={"muted": True})
        await ann.until(lambda: ann.hears(BOB_HZ) and not ann.hears(ANN_HZ), "Bob alone")
        await bob.until(lambda: bob.hears(ANN_HZ) and not bob.hears(BOB_HZ), "Ann alone")


@pytest.mark.alone  # Whisper comes after everything else that runs
async def test_words_of_people_arrive(echo_with_whisper: Stack, session: str) -> None:
    """A person's final words come with the identity and a segment id."""
    await echo_with_whisper.recogniser_is_ready()
    async with taking_part(echo_with_whisper.url, session, identity="ann") as ann:
        await ready(ann)
        ann.speech = recording("opening")
        await ann.until(
            lambda: any(each["final"] for each in ann.all_of("transcript")),
            "the words",
            WORDS_WITHIN_S,
        )

    final = next(each for each in ann.all_of("transcript") if each["final"])
    assert is_heard_as("opening", final["text"]), final
    assert (final["identity"], final["persona"]) == ("ann", "")
    assert final["segment_id"]


async def test_the_end_of_the_session_is_the_last_message(
    echo_with_whisper: Stack, http: httpx.AsyncClient, session: str
) -> None:
    """The last message is `ended` with the reason, and the connection closes normally."""
    async with taking_part(echo_with_whisper.url, session) as ann:
        await ready(ann)
        await http.delete(f"/sessions/{session}")
        await ann.until(lambda: ann.closed is not None, "the end")

    assert ann.closed is not None and ann.closed[0] == 1000
    assert ann.read[-1]["type"] == "ended"
    assert ann.read[-1]["reason"] == "ended by its owner"
    assert len(ann.all_of("ended")) == 1


async def test_a_program_that_is_removed_gets_the_reason(
    echo_with_whisper: Stack, http: httpx.AsyncClient, session: str
) -> None:
    """A program that an operator, or its own identity's next connection, removes gets a reason."""
    async with taking_part(echo_with_whisper.url, session, identity="ann") as first:
        await ready(first)
        async with taking_part(echo_with_whisper.url, session, identity="ann") as second:
            await ready(second)
            await first.until(lambda: first.closed is not None, "the first ends")
            await http.delete(f"/sessions/{session}/people/ann")
            await second.until(lambda: second.closed is not None, "the second ends")

    assert (first.read[-1]["type"], first.read[-1]["code"]) == ("error", "disconnected")
    assert (second.read[-1]["type"], second.read[-1]["reason"]) == (
        "ended",
        "removed from the room",
    )


async def test_a_broken_connection_leaves_nothing_behind(
    echo_with_whisper: Stack, http: httpx.AsyncClient, session: str
) -> None:
    """After its connection broke, a program's participant leaves and its client is removed."""
    async with taking_part(echo_with_whisper.url, session, identity="ann") as ann:
        await ready(ann)
        assert await people(http, session) == ["ann"]
        transport = ann.socket.get_extra_info("transport") or ann.socket._conn.transport
        transport.abort()
        async with asyncio.timeout(WORDS_WITHIN_S):
            while await people(http, session) or await open_clients(echo_with_whisper):  # noqa: ASYNC110 - neither sends an event
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("path", ["", "/people/ann"])
async def test_a_program_that_is_removed_leaves_no_thread(
    echo_with_whisper: Stack, http: httpx.AsyncClient, path: str
) -> None:
    """The worker keeps no thread of a program whose session was ended, or that was removed."""

    async def visit() -> None:
        opened = await http.post("/sessions", json={})
        at = f"/sessions/{opened.json()['id']}"
        async with taking_part(echo_with_whisper.url, opened.json()["id"], identity="ann") as ann:
            await ready(ann)
            await http.delete(at + path)
            await ann.until(lambda: ann.closed is not None, "the end")
        await http.delete(at)
        await all_free(echo_with_whisper)

    before = audio_threads(echo_with_whisper)
    for _ in range(3):
        await visit()

    await eventually(lambda: audio_threads(echo_with_whisper) <= before, "its threads end")


def audio_threads(stack: Stack) -> int:
    """Return how many threads of LiveKit's library play voices in the processes of rooms."""
    count = 0
    for process in room_processes(stack.worker_pid):
        for name in Path(f"/proc/{process.pid}/task").glob("*/comm"):
            with suppress(OSError):  # a thread that has ended meanwhile
                count += name.read_text().startswith("AudioSourceCapt")
    return count


async def open_clients(stack: Stack) -> int:
    """Return for how many programs the worker is in a room."""
    return int((await stack.worker_metrics())["moshi_room_clients"])
