"""Measure clients of `/api/chat` beside a room: the worker's step, and what each client hears.

Starts the product with the pocket Moshi. Every client speaks a recording, then listens for as long;
a person in a room with two personas does the same. Late frames of a client are those that came
more than 80 ms later than the earliest allow.

    python -m bench.chats --clients 8 --personas 2 --seconds 60
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import sphn

from harness.person import Person, person
from harness.stack import Stack, start_stack
from tests.worker.rooms import SIX, asking_for, in_talk
from tests.worker.websocket.caller import Caller, calling
from worker.engine.files import pocket
from worker.livekit_private.native_log import disable_native_log_capture
from worker.websocket.opus import SAMPLE_RATE_HZ

FRAME_S = 0.080
COUNTED = ("moshi_late_frames_total", "moshi_dropped_frames_total")
SPEECH = sphn.read(str(pocket.FOLDER / "voices" / "NATM0.wav"))[0][0]
TURN = np.concatenate([SPEECH, np.zeros(3 * len(SPEECH), dtype=np.float32)])


class Client:
    """The results of one client."""

    def __init__(self) -> None:
        self.ready_s = 0.0
        self.arrivals_s: list[float] = []
        self.words = 0

    @property
    def late(self) -> int:
        """Return the frames that came more than a frame's time late."""
        lags = [at - place * FRAME_S for place, at in enumerate(self.arrivals_s)]
        return sum(lag > min(lags) + FRAME_S for lag in lags)


async def talk(url: str, seconds: float) -> Client:
    """Be one client for some seconds."""
    client, begun_s = Client(), time.monotonic()
    async with calling(url) as caller:
        await caller.until(lambda: caller.is_ready, "the handshake")
        client.ready_s = time.monotonic() - begun_s
        watching = asyncio.create_task(watch(caller, client))
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            await caller.speak(TURN)
        watching.cancel()
        client.words = len(caller.words.split())
    return client


async def watch(caller: Caller, client: Client) -> None:
    """Note when each frame came, to within 5 ms."""
    seen = len(caller.heard)
    while True:
        await asyncio.sleep(0.005)
        client.arrivals_s += [time.monotonic()] * (len(caller.heard) - seen)
        seen = len(caller.heard)


async def measure(stack: Stack, clients: int, personas: int, seconds: float) -> dict[str, object]:
    """Let all talk at once; return the row of the table."""
    url = f"{stack.url.replace('http', 'ws', 1)}/api/chat?persona=astronaut"
    async with person(stack.url, asking_for(*SIX[:personas])) as ann:
        await in_talk(ann, personas)
        speaking = asyncio.create_task(speak(ann))
        before = await metrics(stack)
        done = await asyncio.gather(*(talk(url, seconds) for _ in range(clients)))
        speaking.cancel()
        after = await metrics(stack)
        async with httpx.AsyncClient(trust_env=False) as http:
            worker = (await http.get(stack.worker_url)).json()
    return {
        "clients": clients,
        "personas in a room": personas,
        "step p99 ms": worker["step_p99_ms"],
        **{name: int(after[name] - before[name]) for name in COUNTED},
        "handshake ms": round(max(each.ready_s for each in done) * 1000),
        "frames heard": sum(len(each.arrivals_s) for each in done),
        "heard late": sum(each.late for each in done),
        "least words": min(each.words for each in done),
    }


async def speak(ann: Person) -> None:
    """Speak as the clients do."""
    while True:
        ann.speech = SPEECH
        await asyncio.sleep(len(TURN) / SAMPLE_RATE_HZ)


async def metrics(stack: Stack) -> dict[str, float]:
    """Return the worker's counters."""
    async with httpx.AsyncClient(trust_env=False) as http:
        lines = (await http.get(f"{stack.worker_url}/metrics")).text.splitlines()
    read = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(read[name]) for name in COUNTED}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--personas", type=int, default=2, choices=range(1, len(SIX) + 1))
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    disable_native_log_capture()
    with (
        tempfile.TemporaryDirectory() as folder,
        start_stack(Path(folder), model="pocket", capacity=asked.clients + asked.personas) as stack,
    ):
        row = asyncio.run(measure(stack, asked.clients, asked.personas, asked.seconds))
    for name, value in row.items():
        print(f"{name:>24}  {value}")
    print(json.dumps(row))


if __name__ == "__main__":
    main()
