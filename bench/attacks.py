"""Measure how attacks on one room and on the HTTP port affect another room's echo and the memory.

Starts a stack of its own with the echo model. One person talks in a room for the whole time. In
another room six participants attack together (`tests/worker/room/attacker.py`: typed lines
without end, streams on unknown topics, one stream again and again, whole lines, data packets, idle
microphones), while a thousand connections send half requests and 400 bad keys are tried.
Before that the same six attack a LiveKit without a worker: what is missing of the echo then is
missing because they take this machine's cores. Bounded, on loopback, ends by itself.

    python -m bench.attacks               # 20 s of attacks
    python -m bench.attacks --seconds 5

Two tables, then one line of JSON. The attackers share the machine's cores with the product.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from bench.soak import held_rows, table
from harness import servers
from harness.census import census
from harness.person import Person, eventually, fetch_token, person
from harness.stack import Stack, start_stack
from tests.token_service.players import person_token
from tests.token_service.server.half_requests import halves, held
from tests.worker.room.attacker import KINDS
from worker.livekit_private.native_log import disable_native_log_capture

ATTACKED = "attacked"
COUNTS = {"tracks": 40}  # more are too many for the client's own SDK
COUNT = 3_000
BAD_KEYS = 400
HALF_REQUESTS = 1_000
QUIET_S = 5.0  # what is over may be given back before memory is read


async def way_in(stack: Stack) -> tuple[str, str]:
    """Fetch what an attacker enters the attacked room with: LiveKit's address and a token."""
    token = await fetch_token(stack.url, {"room_name": ATTACKED})
    return token["server_url"], token["participant_token"]


@asynccontextmanager
async def attacker(url: str, token: str, kind: str) -> AsyncGenerator[None]:
    """Run one attacking participant in a process of its own, as long as the context lasts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.worker.room.attacker",
        url,
        token,
        kind,
        str(COUNTS.get(kind, COUNT)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    try:
        yield
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


async def try_bad_keys(stack: Stack, until_s: float) -> int:
    """Send so many requests with keys that do not exist, spread over the time; count answers."""
    answered = 0
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False, timeout=5) as http:
        for number in range(BAD_KEYS):
            if time.monotonic() > until_s:
                break
            headers = {"Authorization": f"Bearer mrk_0_{number}"}
            with suppress(httpx.HTTPError):
                await http.post("/token", json={}, headers=headers)
                answered += 1
            await asyncio.sleep(0.02)
    return answered


@asynccontextmanager
async def attackers(ways: dict[str, tuple[str, str]]) -> AsyncGenerator[None]:
    """Run an attacker of each kind at the same time."""
    async with AsyncExitStack() as running:
        for kind, (url, token) in ways.items():
            await running.enter_async_context(attacker(url, token, kind))
        yield


async def attack(stack: Stack, seconds: float) -> int:
    """Attack with everything at once for so long; give how many bad keys were answered."""
    until_s = time.monotonic() + seconds
    port = httpx.URL(stack.url).port or 80
    requests = halves("body") + halves("head") + halves("chunked")
    ways = {kind: await way_in(stack) for kind in KINDS}
    async with attackers(ways):
        with ExitStack() as connections:  # opened beside the loop on which the listener hears
            opening = held(port, requests, HALF_REQUESTS)
            await asyncio.to_thread(connections.enter_context, opening)
            answered = await try_bad_keys(stack, until_s)
            await asyncio.sleep(max(until_s - time.monotonic(), 0))
    return answered


async def attack_another(livekit: servers.LiveKit, seconds: float) -> None:
    """Attack a LiveKit that has no worker, as a control: it costs the room CPU time only."""
    ways = {kind: (livekit.url, person_token(livekit, ATTACKED, kind)) for kind in KINDS}
    async with attackers(ways):
        await asyncio.sleep(seconds)


def whole(ann: Person, since: int) -> float:
    """Return the share of the echo that was heard since a moment, in percent."""
    return round(100 * float(ann.timeline.voiced(ann.personas[0].identity, since).mean()), 2)


async def measure(stack: Stack, another: servers.LiveKit, seconds: float) -> dict[str, Any]:
    """Have one person talk before, while and after another room is attacked; print the tables."""
    async with person(stack.url) as ann:
        ann.tone_hz = 440.0
        await eventually(lambda: len(ann.personas) == 1, "a persona is there")
        await eventually(lambda: ann.rms(ann.personas[0].identity) > 0.1, "the echo is heard")
        # No person of this process is in the attacked room: it would have to read the floods.
        await attack(stack, min(seconds, 3.0))  # what a first attack makes the libraries load once
        await asyncio.sleep(QUIET_S)
        before, marks = census(stack), [ann.timeline.now]
        await asyncio.sleep(QUIET_S)
        marks.append(ann.timeline.now)
        await attack_another(another, seconds)
        marks.append(ann.timeline.now)
        await asyncio.sleep(QUIET_S)
        marks.append(ann.timeline.now)
        answered = await attack(stack, seconds)
        marks.append(ann.timeline.now)
        await asyncio.sleep(QUIET_S)
        heard = {
            "before, %": whole_between(ann, marks[0], marks[1]),
            "attack elsewhere, %": whole_between(ann, marks[1], marks[2]),
            "attack, %": whole_between(ann, marks[3], marks[4]),
            "after, %": whole(ann, marks[4]),
            "bad keys answered": answered,
        }
        after = census(stack)
    table([heard])
    rows = held_rows(before, after)
    table(rows)
    return {"bench": "attacks", "cores": os.cpu_count(), "load": os.getloadavg()} | {
        "echo": heard,
        "held": rows,
    }


def whole_between(ann: Person, since: int, until: int) -> float:
    """Return the share of the echo that was heard between two moments, in percent."""
    voiced = ann.timeline.voiced(ann.personas[0].identity, since)[: until - since]
    return round(100 * float(voiced.mean()), 2)


def main() -> None:
    """Start the stack, attack, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    disable_native_log_capture()
    with (
        tempfile.TemporaryDirectory(prefix="attacks-") as folder,
        start_stack(
            Path(folder),
            model="echo",
            capacity=8,
            auth_mode="loopback,open",
            rate_per_address="100000/minute",
        ) as stack,
        servers.start_livekit(Path(folder)) as another,
    ):
        found = asyncio.run(measure(stack, another, arguments.seconds))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
