"""The visits of `bench.soak`, one of each kind in turn; each returns the seconds until it is heard.

A room, a recorded session whose events are followed, a persona with a language model as its mind,
a program at a session's WebSocket, and a client of Moshi's protocol.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp
import sphn

from harness.person import eventually, joined, person
from harness.rooms import asking_for, in_talk
from harness.stack import Stack
from protocol import wire
from worker.frames import FRAME_S, RATE_HZ, SILENCE, to_int16
from worker.websocket import messages

PERSONAS = ("chef", "astronaut")
MINDED = "assistant"  # the persona whose mind is a language model
ANSWER = "Hello, how can I help you?"  # the pocket Moshi has learned it
WITHIN_S = 60.0
FRAMES = 25  # of what a client of a WebSocket sends
PCM = to_int16(SILENCE).tobytes()
FULL = HTTPStatus.SERVICE_UNAVAILABLE
Visit = Callable[[Stack], Awaitable[float]]


async def room(stack: Stack) -> float:
    """Join, hear two personas and leave."""
    begun_s = time.monotonic()
    async with person(stack.url, asking_for(*PERSONAS)) as ann:
        await in_talk(ann, len(PERSONAS))
        there_s = time.monotonic() - begun_s
        await eventually(lambda: len(ann.heard) == len(PERSONAS), "each is heard", WITHIN_S)
    return there_s


async def recorded(stack: Stack) -> float:
    """Be recorded, follow the session's events to its end, and delete the recording."""
    begun_s = time.monotonic()
    asked = {"personas": list(PERSONAS[:1]), "record": True, "record_consent": True}
    async with _session(stack, asked) as (http, session):
        following = asyncio.create_task(_follow(http, session["id"]))
        async with joined(session["server_url"], session["participant_token"]) as ann:
            await in_talk(ann)
            there_s = time.monotonic() - begun_s
            await eventually(lambda: bool(ann.heard), "it is heard", WITHIN_S)
        await _delete(http, f"/sessions/{session['id']}")
        await following
        await _delete(http, f"/sessions/{session['id']}/recordings")
    return there_s


async def minded(stack: Stack) -> float:
    """Type a question to a persona with a mind, and read the mind's answer."""
    begun_s = time.monotonic()
    async with person(stack.url, asking_for(MINDED)) as ann:
        await in_talk(ann)
        there_s = time.monotonic() - begun_s
        await ann.room.local_participant.send_text("Are you there?", topic=wire.CHAT_TOPIC)
        await eventually(
            lambda: any(ANSWER in each.text for each in ann.words), "the mind answers", WITHIN_S
        )
    return there_s


async def program(stack: Stack) -> float:
    """Take part in a session with plain samples over its WebSocket, and end it."""
    begun_s = time.monotonic()
    async with _session(stack, {"personas": list(PERSONAS[:1])}) as (http, session):
        async with http.ws_connect(f"/sessions/{session['id']}/audio?format=pcm") as call:
            async for message in call:
                if message.type is aiohttp.WSMsgType.TEXT and message.json()["type"] == "state":
                    break
            there_s = time.monotonic() - begun_s
            await _speak(call, [PCM] * FRAMES)
        await _delete(http, f"/sessions/{session['id']}")
    return there_s


async def chat(stack: Stack) -> float:
    """Talk over Moshi's own WebSocket protocol."""
    begun_s = time.monotonic()
    async with (
        aiohttp.ClientSession(stack.url) as http,
        http.ws_connect("/api/chat?persona=astronaut") as call,
    ):
        if await call.receive_bytes(timeout=WITHIN_S) != messages.HANDSHAKE:
            raise RuntimeError("expected the handshake first")
        there_s = time.monotonic() - begun_s
        writer = sphn.OpusStreamWriter(RATE_HZ)
        await _speak(call, [messages.AUDIO + writer.append_pcm(SILENCE) for _ in range(FRAMES)])
    return there_s


KINDS: tuple[Visit, ...] = (room, recorded, minded, program, chat)


@asynccontextmanager
async def _session(
    stack: Stack, asked: Mapping[str, Any]
) -> AsyncGenerator[tuple[aiohttp.ClientSession, dict[str, Any]]]:
    """Open a session, again while all places are taken."""
    patience = aiohttp.ClientTimeout(total=WITHIN_S)
    async with aiohttp.ClientSession(stack.url, timeout=patience) as http:
        async with asyncio.timeout(WITHIN_S):
            while (answer := await http.post("/sessions", json=asked)).status == FULL:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        answer.raise_for_status()
        yield http, await answer.json()


async def _follow(http: aiohttp.ClientSession, session: str) -> None:
    async with http.get(f"/sessions/{session}/events") as events:
        async for line in events.content:
            if line.startswith(b"data:") and json.loads(line[5:])["type"] == "ended":
                return


async def _delete(http: aiohttp.ClientSession, path: str) -> None:
    """Delete, again while a recording is still being written."""
    async with asyncio.timeout(WITHIN_S):
        while (answer := await http.delete(path)).status == HTTPStatus.CONFLICT:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    answer.raise_for_status()


async def _speak(call: aiohttp.ClientWebSocketResponse, said: list[bytes]) -> None:
    """Send one message each 80 ms; what comes meanwhile is left unread."""
    for message in said:
        await call.send_bytes(message)
        await asyncio.sleep(FRAME_S)
