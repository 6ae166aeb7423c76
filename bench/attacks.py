"""Measure how attacks on one room and on the HTTP port affect another room's echo and the memory.

Starts a stack of its own with the echo model. One person talks in a room for the whole time. In
another room six participants attack together (`tests/worker/room/attacker.py`: typed lines
without end, streams on unknown topics, one stream again and again, whole lines, data packets, idle
microphones), while `bench/http_attack.py` holds half requests and tries bad keys.
Attackers have machines of their own in the world; here they share the product's cores, so they run
at the lowest priority. `--equal` gives them the product's. A table has how much each one did.
The attack comes twice: the first makes libraries load what they keep, and processes grow to the
size that an attack needs. Between them the same six attack a LiveKit without a worker: what is
missing of the echo then is missing because they take this machine's cores. Memory is read four
minutes after, because Go gives back over minutes. Bounded, on loopback, ends by itself.

    python -m bench.attacks               # 20 s of attacks
    python -m bench.attacks --seconds 5

Three tables, then one line of JSON.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from bench.soak import held_rows, table
from harness import servers
from harness.census import census
from harness.person import Person, eventually, fetch_token, person
from harness.stack import Stack, start_stack
from tests.token_service.players import person_token
from tests.worker.room.attacker import KINDS
from worker.livekit_private.native_log import disable_native_log_capture

ATTACKED = "attacked"
COUNTS = {"tracks": 40}  # more are too many for the client's own SDK
COUNT = 3_000
QUIET_S = 5.0
GIVEN_BACK_S = 240.0  # until memory is read: LiveKit's fell for 200 s after an attack
LOWEST = 19  # priority of processes that would be on other machines


async def attackers_token(stack: Stack) -> tuple[str, str]:
    """Fetch an attacker's way into the attacked room: LiveKit's address and a token."""
    token = await fetch_token(stack.url, {"room_name": ATTACKED})
    return token["server_url"], token["participant_token"]


async def start(
    module: str, *arguments: str, low: bool, stdin: int | None = None
) -> asyncio.subprocess.Process:
    """Start a module as a process in a session of its own, at the lowest priority if `low`.

    What it prints is read from its `stdout`.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        start_new_session=True,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
    )
    if low:
        give_way(process.pid)
    return process


def give_way(pid: int) -> None:
    """Give a process, the leader of its session, the lowest priority."""
    os.setpriority(os.PRIO_PROCESS, pid, LOWEST)
    with suppress(OSError):  # a kernel without groups by session
        Path(f"/proc/{pid}/autogroup").write_text(str(LOWEST))


@asynccontextmanager
async def attacker(
    url: str, token: str, kind: str, low: bool, counts: dict[str, int]
) -> AsyncGenerator[None]:
    """Run one attacking participant in a process of its own, as long as the context lasts.

    At the end `counts[kind]` is the number of its actions.
    """
    count = str(COUNTS.get(kind, COUNT))
    module, pipe = "tests.worker.room.attacker", asyncio.subprocess.PIPE
    process = await start(module, url, token, kind, count, low=low, stdin=pipe)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()
        said = await process.stdout.read()
        counts[kind] = max((int(line) for line in said.split() if line.isdigit()), default=0)


@asynccontextmanager
async def attackers(ways: dict[str, tuple[str, str]], low: bool) -> AsyncGenerator[dict[str, int]]:
    """Run an attacker of each kind at the same time; yield their counts, filled in at the end."""
    counts: dict[str, int] = {}
    async with AsyncExitStack() as running:
        for kind, (url, token) in ways.items():
            await running.enter_async_context(attacker(url, token, kind, low, counts))
        yield counts


async def attack(stack: Stack, seconds: float, low: bool) -> dict[str, int]:
    """Attack with everything at once for so long; return how much of each attack there was."""
    ways = {kind: await attackers_token(stack) for kind in KINDS}
    async with attackers(ways, low) as counts:
        http = await start("bench.http_attack", stack.url, str(seconds), low=low)
        answered, _ = await http.communicate()
    return counts | {"bad keys answered": int(answered)}


async def attack_another(livekit: servers.LiveKit, seconds: float, low: bool) -> None:
    """Attack a LiveKit that has no worker, as a control: it costs the room CPU time only."""
    ways = {kind: (livekit.url, person_token(livekit, ATTACKED, kind)) for kind in KINDS}
    async with attackers(ways, low):
        await asyncio.sleep(seconds)


async def measure(
    stack: Stack, another: servers.LiveKit, seconds: float, low: bool
) -> dict[str, Any]:
    """Have one person talk before, while and after another room is attacked; print the tables."""
    async with person(stack.url) as ann:
        ann.tone_hz = 440.0
        await eventually(lambda: len(ann.personas) == 1, "a persona is there")
        await eventually(lambda: ann.rms(ann.personas[0].identity) > 0.1, "the echo is heard")
        # No person of this process is in the attacked room: it would have to read the floods.
        await attack(stack, seconds, low)
        await asyncio.sleep(QUIET_S)
        before, marks = census(stack), [ann.timeline.now]
        await asyncio.sleep(QUIET_S)
        marks.append(ann.timeline.now)
        await attack_another(another, seconds, low)
        marks.append(ann.timeline.now)
        await asyncio.sleep(QUIET_S)
        marks.append(ann.timeline.now)
        counts = await attack(stack, seconds, low)
        marks.append(ann.timeline.now)
        await asyncio.sleep(GIVEN_BACK_S)
        heard = {
            "before, %": whole(ann, marks[0], marks[1]),
            "attack elsewhere, %": whole(ann, marks[1], marks[2]),
            "attack, %": whole(ann, marks[3], marks[4]),
            "after, %": whole(ann, marks[4], ann.timeline.now),
        }
        after = census(stack)
    table([heard])
    table([counts])
    rows = held_rows(before, after)
    table(rows)
    return {"bench": "attacks", "cores": os.cpu_count(), "load": os.getloadavg()} | {
        "echo": heard,
        "did": counts,
        "held": rows,
    }


def whole(ann: Person, since: int, until: int) -> float:
    """Return the share of the echo that was heard between two moments, in percent."""
    voiced = ann.timeline.voiced(ann.personas[0].identity, since)[: until - since]
    return round(100 * float(voiced.mean()), 2)


def main() -> None:
    """Start the stack, attack, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--equal", action="store_true", help="attackers at the product's priority")
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
        found = asyncio.run(measure(stack, another, arguments.seconds, not arguments.equal))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
