"""Other projects' clients, unmodified, with the pocket Moshi: each is heard and answered in words.

`python -m moshi.client` and LiveKit's PersonaPlex plugin run as they are. Moshi's web client and
PersonaPlex's offline program have no package: their flows are written here after their source.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import numpy as np
import pytest
import sphn
from livekit import api, rtc
from livekit.agents import Agent, AgentSession

from harness.stack import Stack, start_stack
from tests.worker.websocket.caller import FRAME, WITHIN_S, Caller, calling
from worker.engine.arrays import Pcm
from worker.engine.files import pocket
from worker.frames import RATE_HZ

DEVICES = Path(__file__).parent / "devices"
GOODBYE_S = 2.0  # for a session that waits for the end of a speech without one
LOUD = 1e-3  # of a frame; the pocket Moshi's silence has 1e-10
SPEECH: Pcm = sphn.read(str(pocket.FOLDER / "voices" / "NATM0.wav"))[0][0]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Start the product with a default persona that does not greet.

    It has more slots than any test needs: a slot that one test left is free for the next only with
    the worker's next heartbeat.
    """
    with start_stack(
        tmp_path_factory.mktemp("chat"), model="pocket", capacity=4, default_persona="astronaut"
    ) as stack:
        yield stack


def url_of(stack: Stack, query: str = "") -> str:
    """Return the address of `/api/chat`."""
    return f"{stack.url.replace('http', 'ws', 1)}/api/chat{query}"


def loudest(sound: Pcm) -> float:
    """Return the power of the loudest frame."""
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    return float(np.max(np.mean(frames**2, axis=1), initial=0.0))


async def test_moshis_command_line_client_talks(stack: Stack, tmp_path: Path) -> None:
    """`python -m moshi.client` plays an answer to what it sent, and prints the words."""
    microphone, loudspeaker = tmp_path / "microphone.f32", tmp_path / "loudspeaker.f32"
    pause = np.zeros(5 * RATE_HZ, dtype=np.float32)
    np.concatenate([SPEECH, pause] * 4).tofile(microphone)
    devices = {"MICROPHONE": str(microphone), "LOUDSPEAKER": str(loudspeaker)}
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moshi.client", "--url", stack.url),
        env=os.environ | devices | {"PYTHONPATH": str(DEVICES), "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # A shell starts background jobs with SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert client.stdout is not None
    printed = b""
    try:
        async with asyncio.timeout(4 * WITHIN_S):  # it imports torch first
            while len(printed.split()) < 2:
                printed += await client.stdout.read(100)
                assert not client.stdout.at_eof(), await client.communicate()
        client.send_signal(signal.SIGINT)
        async with asyncio.timeout(WITHIN_S):
            rest, errors = await client.communicate()
    finally:
        if client.returncode is None:
            client.kill()
            await client.wait()

    assert (printed + rest).decode().strip()[0].isalpha(), printed
    assert b"All done!" in errors
    assert errors.count(b"unknown message") == 1  # the handshake, which this client does not know
    assert loudest(np.fromfile(loudspeaker, dtype=np.float32)) > LOUD


async def _answered(caller: Caller) -> None:
    """Speak, and wait for an answer in sound and words."""
    begin = len(caller.heard)
    caller.words = ""
    await caller.speak(SPEECH)
    await caller.until(lambda: caller.loudness(begin) > LOUD, "an answer")
    await caller.until(lambda: len(caller.words.split()) >= 2, "words")


async def test_the_flow_of_moshis_web_client(stack: Stack) -> None:
    """Moshi's web client, which waits for the handshake and sends 20 ms a packet, is answered."""
    query = (
        "?worker_auth_id=&email=ann%40example.com&text_temperature=0.7&text_topk=25"
        "&audio_temperature=0.8&audio_topk=500&pad_mult=0&text_seed=123456&audio_seed=654321"
        "&repetition_penalty_context=64&repetition_penalty=1"
    )
    async with calling(url_of(stack, query)) as caller:
        async with asyncio.timeout(WITHIN_S):
            while not caller.is_ready:  # noqa: ASYNC110 - it sends nothing before
                await asyncio.sleep(0.02)
        await caller.socket.send_bytes(b"\x03\x00")  # control: start
        await caller.speak(SPEECH, samples=480)
        begin = len(caller.heard)
        await caller.until(lambda: caller.loudness(begin) > LOUD, "an answer")
        await caller.until(lambda: len(caller.words.split()) >= 2, "words")

    assert set(caller.kinds) == {0, 1, 2}  # `decodeMessage` throws for what it does not know
    assert caller.words.startswith(" ")


async def test_the_flow_of_personaplex_offline(stack: Stack, tmp_path: Path) -> None:
    """A file of speech gives an answer of the same length, and a text."""
    question = np.concatenate([SPEECH, np.zeros(5 * RATE_HZ, dtype=np.float32)])
    question = question[: len(question) // FRAME * FRAME]
    answer = tmp_path / "answer.wav"
    query = "?voice_prompt=NATF2.pt&text_prompt=You%20enjoy%20talking.&seed=42424242"
    async with calling(url_of(stack, query)) as caller:
        await caller.until(lambda: caller.is_ready, "the handshake")
        begin = len(caller.heard)
        await caller.speak(question)
        await caller.until(lambda: len(caller.sound(begin)) >= len(question), "the last frame")
        sphn.write_wav(str(answer), caller.sound(begin)[: len(question)], RATE_HZ)

    written, rate_hz = sphn.read(str(answer))
    assert (written.shape, rate_hz) == ((1, len(question)), RATE_HZ)
    assert loudest(written[0]) > LOUD
    assert caller.words.split()


async def test_each_connection_has_its_own_slot(stack: Stack) -> None:
    """Two clients at once are both answered, and so is one that connects again."""
    async with calling(url_of(stack)) as ann, calling(url_of(stack)) as bob:
        await asyncio.gather(_answered(ann), _answered(bob))
    async with calling(url_of(stack)) as ann:
        await _answered(ann)


@asynccontextmanager
async def _in_room(stack: Stack, identity: str, kind: str) -> AsyncGenerator[rtc.Room]:
    """Join a LiveKit room in which none of our personas is."""
    token = (
        api.AccessToken(stack.livekit.api_key, stack.livekit.api_secret)
        .with_identity(identity)
        .with_kind(kind)
        .with_grants(api.VideoGrants(room_join=True, room="plugin", agent=kind == "agent"))
    )
    room = rtc.Room()
    await room.connect(stack.livekit.url, token.to_jwt())
    try:
        yield room
    finally:
        await room.disconnect()


async def _say(room: rtc.Room) -> None:
    """Publish a microphone that says something and is then silent, again and again."""
    source = rtc.AudioSource(RATE_HZ, 1)
    track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    await room.local_participant.publish_track(track, options)
    pause = np.zeros(3 * RATE_HZ, dtype=np.float32)
    while True:
        samples = (np.concatenate([pause, SPEECH, pause, pause]) * 32767).astype(np.int16)
        for part in samples[: len(samples) // 480 * 480].reshape(-1, 480):
            await source.capture_frame(rtc.AudioFrame(part.tobytes(), RATE_HZ, 1, 480))


async def test_livekits_personaplex_plugin_talks(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An `AgentSession` with `PERSONAPLEX_URL` pointing here talks with a person in a room."""
    from livekit.plugins.nvidia.experimental.realtime import RealtimeModel

    monkeypatch.setenv("PERSONAPLEX_URL", stack.url)
    heard: list[float] = []
    words: list[str] = []
    async with (
        aiohttp.ClientSession() as http,
        _in_room(stack, "agent", "agent") as theirs,
        _in_room(stack, "ann", "standard") as ours,
    ):
        tasks = {asyncio.create_task(_say(ours))}
        ours.on(
            "track_subscribed",
            lambda track, *_: tasks.add(asyncio.create_task(_hear(track, heard))),
        )
        ours.register_text_stream_handler(
            "lk.transcription",
            lambda reader, _: tasks.add(asyncio.create_task(_read(reader, words))),
        )
        session: AgentSession[None] = AgentSession(
            llm=RealtimeModel(http_session=http), turn_handling={"turn_detection": "manual"}
        )
        await session.start(Agent(instructions="You enjoy talking."), room=theirs)
        try:
            async with asyncio.timeout(3 * WITHIN_S):
                while max(heard, default=0.0) < LOUD or len("".join(words).split()) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(session.aclose(), GOODBYE_S)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    await _end_tasks()


async def _end_tasks() -> None:
    """Cancel the tasks that livekit-agents leaves running; some start others as they end."""
    for _ in range(10):
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if not left:
            return
        await asyncio.wait(left, timeout=1.0)


async def _hear(track: rtc.Track, heard: list[float]) -> None:
    async for event in rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1):
        samples = np.frombuffer(event.frame.data, dtype=np.int16).astype(np.float32) / 32768
        heard.append(float(np.mean(samples**2)))


async def _read(reader: rtc.TextStreamReader, words: list[str]) -> None:
    async for piece in reader:
        words.append(piece)
