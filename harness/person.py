"""A person in a room, with LiveKit's Python SDK: says a tone, and hears and reads like any client.

Uses only LiveKit's own names, so that every LiveKit client finds what it finds.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
from livekit import rtc

from harness.timeline import Timeline
from protocol import wire

WITHIN_S = 30.0
EVERY_S, SELDOM_S = 0.02, 0.3  # between two looks at a condition
RATE_HZ = 24_000
CHUNK = RATE_HZ // 100  # 10 ms
FRAME = 2 * CHUNK  # that the SDK takes or gives at once; each costs its thread and ours a message
KEEP_CHUNKS = 300  # 3 s


async def eventually(holds: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    """Wait for a condition, with a deadline; look the more seldom, the longer a look takes."""
    deadline_s = time.monotonic() + within_s
    while True:
        begun_s = time.monotonic()
        if holds():
            return
        now_s = time.monotonic()
        if now_s > deadline_s:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        await asyncio.sleep(min(max(EVERY_S, 5 * (now_s - begun_s)), SELDOM_S))


@dataclass
class ReadWords:
    """One text stream that a person read."""

    identity: str
    text: str
    attributes: dict[str, str]


@dataclass
class Person:
    """One person in a room: says, hears and reads."""

    room: rtc.Room
    tone_hz: float = 0.0  # 0: silent
    speech: npt.NDArray[np.float32] | None = None  # said once instead of the tone, 24 kHz
    heard: dict[str, list[npt.NDArray[np.float32]]] = field(default_factory=dict)
    timeline: Timeline = field(default_factory=Timeline)
    words: list[ReadWords] = field(default_factory=list)
    packets: dict[str, rtc.TranscriptionSegment] = field(default_factory=dict)
    messages: list[wire.SegmentMessage] = field(default_factory=list)
    chat: list[tuple[str, str]] = field(default_factory=list)
    states: list[tuple[str, str]] = field(default_factory=list)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    mouth: rtc.LocalTrackPublication | None = None
    _ears: dict[str, asyncio.Task[Any]] = field(default_factory=dict[str, asyncio.Task[Any]])
    keep_chunks: int = KEEP_CHUNKS  # of what each persona said

    @property
    def personas(self) -> list[rtc.RemoteParticipant]:
        """Return the AI participants, as LiveKit's frontends recognise them."""
        kind = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        return [p for p in self.room.remote_participants.values() if p.kind == kind]

    def rms(self, identity: str) -> float:
        """Return the loudness of the last 200 ms of a participant."""
        chunks = self.heard.get(identity, [])[-20:]
        return float(np.sqrt(np.mean(np.concatenate(chunks) ** 2))) if chunks else 0.0

    def loudest_hz(self, identity: str) -> float:
        """Return the strongest frequency in the last 400 ms of a participant."""
        chunks = self.heard.get(identity, [])[-40:]
        if len(chunks) < 40:
            return 0.0
        spectrum = np.abs(np.fft.rfft(np.concatenate(chunks) * np.hanning(40 * CHUNK)))
        return float(np.argmax(spectrum) * RATE_HZ / (40 * CHUNK))

    async def publish(
        self, source_kind: rtc.TrackSource.ValueType = rtc.TrackSource.SOURCE_MICROPHONE
    ) -> None:
        """Publish a microphone, or another source, with a tone of `tone_hz`."""
        source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=100)
        track = rtc.LocalAudioTrack.create_audio_track("mouth", source)
        options = rtc.TrackPublishOptions(source=source_kind)
        self.mouth = await self.room.local_participant.publish_track(track, options)
        self.spawn(self.say_tone(source, lambda: self.tone_hz))

    async def unpublish(self) -> None:
        """Unpublish the microphone."""
        assert self.mouth is not None
        await self.room.local_participant.unpublish_track(self.mouth.sid)

    def spawn(self, work: Any) -> None:
        """Run a task until the person leaves."""
        self._start(work)

    def _start(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def listen(self) -> None:
        """Attach handlers for everything that a client can receive."""
        room = self.room
        room.on("track_subscribed", lambda track, _, p: self._listen_to(track, p.identity))
        room.on("track_unsubscribed", lambda track, *_: self._ears.pop(track.sid).cancel())
        room.on("data_received", self._on_data)
        room.on("transcription_received", self._on_packets)
        room.on("participant_attributes_changed", self._on_attributes)
        room.register_text_stream_handler(
            wire.TRANSCRIPTION_TOPIC, lambda reader, who: self.spawn(self._read(reader, who))
        )
        room.register_text_stream_handler(
            wire.CHAT_TOPIC, lambda reader, who: self.spawn(self._read_chat(reader, who))
        )

    async def say_tone(self, source: rtc.AudioSource, hz: Callable[[], float]) -> None:
        """Say `speech`, then a tone, until the person leaves."""
        index = 0
        while True:
            wave = self._next_speech()
            if wave is None:
                t = (np.arange(FRAME) + index * FRAME) / RATE_HZ
                wave = 0.4 * np.sin(2 * np.pi * hz() * t)
            samples = (wave * 32767).astype(np.int16)
            await source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE_HZ, 1, FRAME))
            index += 1

    def _next_speech(self) -> npt.NDArray[np.float32] | None:
        """Return the next frame of `speech`, or `None` at its end."""
        if self.speech is None:
            return None
        wave, rest = self.speech[:FRAME], self.speech[FRAME:]
        self.speech = rest if len(rest) >= FRAME else None
        return wave

    def _listen_to(self, track: rtc.Track, identity: str) -> None:
        """Hear a track until it is gone: its stream would then deliver that of a later track."""
        self._ears[track.sid] = self._start(self._hear(track, identity))

    async def _hear(self, track: rtc.Track, identity: str) -> None:
        chunks = self.heard.setdefault(identity, [])
        stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1, frame_size_ms=20)
        try:
            async for event in stream:
                samples = np.frombuffer(event.frame.data, dtype=np.int16).astype(np.float32)
                for chunk in (samples / np.float32(32768)).reshape(-1, CHUNK):
                    chunks.append(chunk)
                    self.timeline.add(identity, chunk)
                del chunks[: -self.keep_chunks]
        finally:
            await stream.aclose()

    async def _read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        try:
            text = await reader.read_all()
        except rtc.data_stream.StreamError:  # its sender was killed in the middle of a segment
            return
        self.words.append(ReadWords(identity, text, dict(reader.info.attributes or {})))

    async def _read_chat(self, reader: rtc.TextStreamReader, identity: str) -> None:
        self.chat.append((identity, await reader.read_all()))

    def _on_data(self, packet: rtc.DataPacket) -> None:
        if packet.topic == wire.SEGMENT_TOPIC:
            self.messages.append(wire.SegmentMessage.model_validate_json(packet.data))

    def _on_packets(self, segments: list[rtc.TranscriptionSegment], *_: object) -> None:
        for segment in segments:
            self.packets[segment.id] = segment

    def _on_attributes(self, changed: dict[str, str], who: rtc.Participant) -> None:
        if wire.ATTR_AGENT_STATE in changed:
            self.states.append((who.identity, changed[wire.ATTR_AGENT_STATE]))


async def fetch_token(url: str, body: dict[str, Any]) -> dict[str, str]:
    """Fetch a token; retry while the service is full."""
    deadline_s = time.monotonic() + WITHIN_S
    async with httpx.AsyncClient(
        base_url=url, trust_env=False, verify=url.startswith("https:"), timeout=20
    ) as http:
        answer = await http.post("/token", json=body)
        while answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            if time.monotonic() > deadline_s:
                raise TimeoutError(answer.text)
            await asyncio.sleep(0.1)
            answer = await http.post("/token", json=body)
    answer.raise_for_status()
    return answer.json()


@asynccontextmanager
async def person(
    url: str, body: dict[str, Any] | None = None, *, only_reads: bool = False
) -> AsyncGenerator[Person]:
    """Fetch a token at `url` and be in its room as `joined` is."""
    token = await fetch_token(url, body or {})
    where = token["server_url"], token["participant_token"]
    async with joined(*where, only_reads=only_reads) as there:
        yield there


@asynccontextmanager
async def joined(
    server_url: str, token: str, *, only_reads: bool = False
) -> AsyncGenerator[Person]:
    """Join with a token, listen and speak, or only read; leave at the end."""
    there = Person(rtc.Room())
    there.listen()
    # As agents do: with one for both, LiveKit grows slow over many visits (docs/decisions.md).
    options = rtc.RoomOptions(auto_subscribe=not only_reads, single_peer_connection=False)
    await there.room.connect(server_url, token, options)
    if not only_reads:
        await there.publish()
    try:
        yield there
    finally:
        for task in list(there.tasks):
            task.cancel()
        await asyncio.gather(*there.tasks, return_exceptions=True)
        await there.room.disconnect()
