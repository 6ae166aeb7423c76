"""Programs without WebRTC in a session: heard by the persona and by each other, with words as JSON.

The product is real, with the echo as the persona, and with Whisper, which writes people's words.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from harness.recordings import is_heard_as, recording
from harness.stack import Stack
from tests.worker.rooms import all_free
from tests.worker.websocket.program import Program, taking_part

ANN_HZ, BOB_HZ = 500.0, 1_500.0
WORDS_WITHIN_S = 60.0


@pytest.fixture
async def http(writes: Stack) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the token service."""
    async with httpx.AsyncClient(base_url=writes.url, trust_env=False, timeout=20) as http:
        yield http


@pytest.fixture
async def session(writes: Stack, http: httpx.AsyncClient) -> AsyncGenerator[str]:
    """A new session with one persona; it is over, and its slot free, after the test."""
    await all_free(writes)
    opened = await http.post("/sessions", json={})
    assert opened.status_code == 201, opened.text
    yield opened.json()["id"]
    await http.delete(f"/sessions/{opened.json()['id']}")
    await all_free(writes)


async def people(http: httpx.AsyncClient, session: str) -> list[str]:
    """Return the identities of a session's people."""
    return [each["identity"] for each in (await http.get(f"/sessions/{session}")).json()["people"]]


async def ready(there: Program) -> dict[str, Any]:
    """Wait until a participant is in the room; return the message that says so."""
    await there.until(lambda: bool(there.all_of("ready")), "ready")
    return there.all_of("ready")[0]


@pytest.mark.parametrize("sound_format", ["pcm", "opus"])
async def test_a_tone_comes_back_from_the_persona(
    writes: Stack, session: str, sound_format: str
) -> None:
    """In either format; the first message says who and where one is, events follow."""
    async with taking_part(writes.url, session, sound_format, identity="ann") as ann:
        told = await ready(ann)
        ann.tone_hz = ANN_HZ
        await ann.until(lambda: ann.hears(ANN_HZ), "the echo")
        assert not ann.hears(BOB_HZ)
        await ann.until(lambda: bool(ann.all_of("state")), "the persona's state")

    assert (told["identity"], told["format"], told["sample_rate_hz"]) == (
        "ann",
        sound_format,
        24_000,
    )
    assert {each["persona"] for each in ann.all_of("state")} == {"assistant"}


async def test_two_hear_each_other_and_the_persona(
    writes: Stack, http: httpx.AsyncClient, session: str
) -> None:
    """While the persona is muted each hears the other alone; nobody hears themselves but by it."""
    async with (
        taking_part(writes.url, session) as ann,
        taking_part(writes.url, session, "opus") as bob,
    ):
        await asyncio.gather(ready(ann), ready(bob))
        ann.tone_hz, bob.tone_hz = ANN_HZ, BOB_HZ
        for each in (ann, bob):
            await each.until(lambda each=each: each.hears(ANN_HZ) and each.hears(BOB_HZ), "both")
        await http.post(f"/sessions/{session}/mute", json={"muted": True})
        await ann.until(lambda: ann.hears(BOB_HZ) and not ann.hears(ANN_HZ), "Bob alone")
        await bob.until(lambda: bob.hears(ANN_HZ) and not bob.hears(BOB_HZ), "Ann alone")


async def test_words_of_people_arrive(writes: Stack, session: str) -> None:
    """With the speaker's identity and the id of their segment, at last final."""
    async with taking_part(writes.url, session, identity="ann") as ann:
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


async def test_the_end_of_the_session_is_told(
    writes: Stack, http: httpx.AsyncClient, session: str
) -> None:
    """The last message is `ended` with the reason, and the connection closes normally."""
    async with taking_part(writes.url, session) as ann:
        await ready(ann)
        await http.delete(f"/sessions/{session}")
        await ann.until(lambda: ann.closed is not None, "the end")

    assert ann.closed is not None and ann.closed[0] == 1000
    assert ann.read[-1]["type"] == "ended"
    assert ann.read[-1]["reason"] == "ended by its owner"
    assert len(ann.all_of("ended")) == 1


async def test_a_participant_who_is_removed_is_told(
    writes: Stack, http: httpx.AsyncClient, session: str
) -> None:
    """By an operator, or by a connection of the same identity; the session goes on."""
    async with taking_part(writes.url, session, identity="ann") as first:
        await ready(first)
        async with taking_part(writes.url, session, identity="ann") as second:
            await ready(second)
            await first.until(lambda: first.closed is not None, "the first ends")
            await http.delete(f"/sessions/{session}/people/ann")
            await second.until(lambda: second.closed is not None, "the second ends")

    assert (first.read[-1]["type"], first.read[-1]["code"]) == ("error", "disconnected")
    assert (second.read[-1]["type"], second.read[-1]["reason"]) == (
        "ended",
        "removed from the room",
    )


async def test_an_abrupt_end_leaves_nothing_behind(
    writes: Stack, http: httpx.AsyncClient, session: str
) -> None:
    """Without a goodbye the participant is gone at once, and the worker holds no client."""
    async with taking_part(writes.url, session, identity="ann") as ann:
        await ready(ann)
        assert await people(http, session) == ["ann"]
        transport = ann.socket.get_extra_info("transport") or ann.socket._conn.transport
        transport.abort()
        async with asyncio.timeout(WORDS_WITHIN_S):
            while await people(http, session) or await open_clients(writes):  # noqa: ASYNC110 - neither sends an event
                await asyncio.sleep(0.05)


async def open_clients(stack: Stack) -> int:
    """Return how many participants the worker is for clients."""
    async with httpx.AsyncClient(trust_env=False) as http:
        lines = (await http.get(f"{stack.worker_url}/metrics")).text.splitlines()
    return int(float(next(x for x in lines if x.startswith("moshi_room_clients ")).split()[1]))
