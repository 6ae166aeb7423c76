"""Measure clients of `/api/chat` beside a room: the worker's step, and what each client hears.

Starts the product with the pocket Moshi. Every client speaks a recording, then listens for as long;
a person in a room with two personas does the same. Late frames of a client are those that came
more than 80 ms later than the earliest allow.

    python -m bench.chats --clients 8 --personas 2 --seconds 60
"""

import argparse
import asyncio
import json
import math
import tempfile
import time
from pathlib import Path

import aiohttp
import httpx
import numpy as np
import psutil
import sphn

from harness.person import Person, person
from harness.rooms import SIX, asking_for, in_talk
from harness.stack import Stack, cpu_s, start_stack, worker_processes
from worker.engine.files import pocket
from worker.frames import FRAME_S, RATE_HZ
from worker.livekit_private.native_log import disable_native_log_capture
from worker.websocket import messages

COUNTED = ("moshi_late_frames_total", "moshi_dropped_frames_total")
SPEECH = sphn.read(str(pocket.FOLDER / "voices" / "NATM0.wav"))[0][0]
TURN = np.concatenate([SPEECH, np.zeros(3 * len(SPEECH), dtype=np.float32)])


class Client:
    """One client and its results; it decodes nothing, as clients do that on other machines."""

    def __init__(self) -> None:
        self.ready_s = 0.0
        self.arrivals_s: list[float] = []
        self.words = ""

    @property
    def late(self) -> int:
        """Return the frames that came more than a frame's time late."""
        lags = [at - place * FRAME_S for place, at in enumerate(self.arrivals_s)]
        return sum(lag > min(lags) + FRAME_S for lag in lags)

    async def talk(self, url: str, said: list[bytes]) -> None:
        """Say these messages, one every 80 ms, and note what comes meanwhile."""
        begun_s = time.monotonic()
        async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
            if (await socket.receive_bytes()) != messages.HANDSHAKE:
                raise RuntimeError("expected the handshake first")
            self.ready_s = time.monotonic() - begun_s
            listening = asyncio.create_task(self._listen(socket))
            begun_s = time.monotonic()
            for place, message in enumerate(said):
                await socket.send_bytes(message)
                await asyncio.sleep(begun_s + (place + 1) * FRAME_S - time.monotonic())
            listening.cancel()

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.data.startswith(messages.AUDIO):
                self.arrivals_s.append(time.monotonic())
            else:
                self.words += message.data[1:].decode()


def spoken(seconds: float) -> list[bytes]:
    """Return the messages of a client that speaks and listens in turn."""
    writer, frame = sphn.OpusStreamWriter(RATE_HZ), round(FRAME_S * RATE_HZ)
    turns = np.tile(TURN, math.ceil(seconds * RATE_HZ / len(TURN)))
    frames = turns[: round(seconds / FRAME_S) * frame].reshape(-1, frame)
    return [messages.AUDIO + writer.append_pcm(each) for each in frames]


async def measure(stack: Stack, clients: int, personas: int, seconds: float) -> dict[str, object]:
    """Let all talk at once; return the row of the table."""
    url = f"{stack.url.replace('http', 'ws', 1)}/api/chat?persona=astronaut"
    said = spoken(seconds)
    async with person(stack.url, asking_for(*SIX[:personas])) as ann:
        await in_talk(ann, personas)
        speaking = asyncio.create_task(speak(ann))
        before, cpu_before = await stack.worker_metrics(), spent_s(stack)
        done = [Client() for _ in range(clients)]
        await asyncio.gather(*(each.talk(url, said) for each in done))
        speaking.cancel()
        after, cpu_after = await stack.worker_metrics(), spent_s(stack)
        async with httpx.AsyncClient(trust_env=False) as http:
            worker = (await http.get(stack.worker_url)).json()
    return {
        "clients": clients,
        "personas in a room": personas,
        "step p99 ms": worker["step_p99_ms"],
        **{name: int(after[name] - before[name]) for name in COUNTED},
        **{
            f"% of a core, {name}": round(100 * (cpu_after[name] - cpu_before[name]) / seconds)
            for name in cpu_after
        },
        "handshake ms": round(max(each.ready_s for each in done) * 1000),
        "frames heard": sum(len(each.arrivals_s) for each in done),
        "heard late": sum(each.late for each in done),
        "least words": min(len(each.words.split()) for each in done),
    }


async def speak(ann: Person) -> None:
    """Speak as the clients do."""
    while True:
        ann.speech = SPEECH
        await asyncio.sleep(len(TURN) / RATE_HZ)


def spent_s(stack: Stack) -> dict[str, float]:
    """Return the CPU time of each process so far."""
    return {
        "worker": cpu_s(worker_processes(stack.worker_pid)),
        "token service": cpu_s([psutil.Process(stack.service_pid)]),
        "clients": cpu_s([psutil.Process()]),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--personas", type=int, default=2, choices=range(1, len(SIX) + 1))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--model", default="pocket")
    asked = parser.parse_args()
    disable_native_log_capture()
    with (
        tempfile.TemporaryDirectory() as folder,
        start_stack(
            Path(folder), model=asked.model, capacity=asked.clients + asked.personas
        ) as stack,
    ):
        row = asyncio.run(measure(stack, asked.clients, asked.personas, asked.seconds))
    for name, value in row.items():
        print(f"{name:>24}  {value}")
    print(json.dumps(row))


if __name__ == "__main__":
    main()
