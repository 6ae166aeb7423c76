"""A program at `/sessions/{id}/audio`, as users write it: sound and JSON over a WebSocket."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
import sphn

from harness.person import WITHIN_S
from worker.engine.arrays import Pcm
from worker.frames import RATE_HZ

PACKET = 480  # samples, 20 ms
HEARD = RATE_HZ * 2 // 5  # the latest 400 ms


class Program:
    """One open connection: what it says, and what it heard and read."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, sound_format: str) -> None:
        self.socket = socket
        self.tone_hz = 0.0  # 0: silent
        self.speech: Pcm | None = None  # said once instead of the tone
        self.read: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self._is_opus = sound_format == "opus"
        self._reader = sphn.OpusStreamReader(RATE_HZ)
        self._writer = sphn.OpusStreamWriter(RATE_HZ)
        self._heard = np.zeros(HEARD, dtype=np.float32)

    def all_of(self, kind: str) -> list[dict[str, Any]]:
        """Return the JSON messages of a type."""
        return [each for each in self.read if each["type"] == kind]

    def hears(self, tone_hz: float) -> bool:
        """Return whether a tone is in the latest sound, 20 dB above the frequencies beside it."""
        spectrum = np.abs(np.fft.rfft(self._heard * np.hanning(HEARD)))
        place = round(tone_hz * HEARD / RATE_HZ)
        beside = np.concatenate(
            [spectrum[place - 60 : place - 20], spectrum[place + 20 : place + 60]]
        )
        return bool(spectrum[place] > 5 and spectrum[place] > 10 * beside.max())

    async def until(self, holds: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
        """Wait until a condition holds, or fail after a deadline."""
        deadline_s = time.monotonic() + within_s
        while not holds():
            kinds = [each["type"] for each in self.read]
            assert time.monotonic() < deadline_s, f"{what}: not within {within_s:g} s, read {kinds}"
            await asyncio.sleep(0.02)

    async def listen(self) -> None:
        """Receive messages until the connection ends."""
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self.read.append(json.loads(message.data))
            elif self._is_opus:
                self._hear(self._reader.append_bytes(message.data))
            else:
                self._hear(np.frombuffer(message.data, "<i2").astype(np.float32) / 32768)
        self.closed = (self.socket.close_code or 0, "")

    async def speak(self) -> None:
        """Send the speech or the tone, at the rate of speech, until cancelled."""
        due_s, said = time.monotonic(), 0
        while True:
            wave = self._next_speech()
            if wave is None:
                at = (np.arange(PACKET) + said) / RATE_HZ
                wave = (0.4 * np.sin(2 * np.pi * self.tone_hz * at)).astype(np.float32)
            said += PACKET
            await self.socket.send_bytes(self._packed(wave))
            due_s += PACKET / RATE_HZ
            await asyncio.sleep(max(due_s - time.monotonic(), 0.0))

    def _packed(self, wave: Pcm) -> bytes:
        if self._is_opus:
            return bytes(self._writer.append_pcm(wave))
        return (wave * 32767).astype("<i2").tobytes()

    def _next_speech(self) -> Pcm | None:
        if self.speech is None:
            return None
        wave, rest = self.speech[:PACKET], self.speech[PACKET:]
        self.speech = rest if len(rest) >= PACKET else None
        return wave

    def _hear(self, pcm: Pcm) -> None:
        self._heard = np.concatenate([self._heard, pcm])[-HEARD:]


@asynccontextmanager
async def taking_part(
    url: str, session: str, sound_format: str = "pcm", **query: str
) -> AsyncGenerator[Program]:
    """Open a connection at the token service `url`, listen and speak; close it at the end."""
    query |= {"format": sound_format}
    async with (
        aiohttp.ClientSession(url) as http,
        http.ws_connect(f"/sessions/{session}/audio", params=query) as socket,
    ):
        there = Program(socket, sound_format)
        tasks = [asyncio.create_task(there.listen()), asyncio.create_task(there.speak())]
        try:
            yield there
        finally:
            await socket.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
