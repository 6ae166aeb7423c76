"""Run the product for hours: many joins and leaves, then a long talk; count what is left behind.

Starts a stack of its own with the pocket Moshi: redis, LiveKit, worker, token service, as
`make run` does. First visits: a person joins, hears two personas and leaves.
Threads, file descriptors and memory of every process are counted before and after, slots and rooms
afterwards. Then two people and six personas in one room for so many minutes: who was heard, for how
long two AI voices sounded at once, whether each line of the transcript names its speaker.

    python -m bench.soak                          # 1,000 visits, then 30 minutes
    python -m bench.soak --visits 40 --minutes 2  # a few minutes

Tables, then one line of JSON.
"""

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.family import talk
from bench.visits import visits
from harness.census import Held
from harness.rooms import SIX
from harness.stack import Stack, start_stack
from worker.livekit_private.native_log import disable_native_log_capture

CAPACITY = max(len(SIX), 8)


def table(rows: list[dict[str, Any]]) -> None:
    """Print rows with their headings."""
    widths = [max(len(name), *(len(str(row[name])) for row in rows)) for name in rows[0]]
    for cells in (rows[0].keys(), *(row.values() for row in rows)):
        print("  ".join(f"{cell!s:>{width}}" for cell, width in zip(cells, widths, strict=True)))
    print(flush=True)


def held_rows(before: Mapping[str, Held], after: Mapping[str, Held]) -> list[dict[str, Any]]:
    """Return each process before and after, side by side."""
    return [
        {
            "process": name,
            "threads": before[name].threads,
            "threads after": after[name].threads,
            "descriptors": before[name].descriptors,
            "descriptors after": after[name].descriptors,
            "rss MiB": before[name].rss_mib,
            "rss MiB after": after[name].rss_mib,
        }
        for name in before
    ]


async def soak(stack: Stack, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the requested parts; print the tables."""
    found: dict[str, Any] = {"bench": "soak", "cores": os.cpu_count(), "load": os.getloadavg()}
    if arguments.visits:
        visited = await visits(stack, arguments.visits, arguments.at_once)
        table([visited.summary()])
        table(held_rows(visited.before, visited.after))
        found["visits"] = visited.summary() | {"held": held_rows(visited.before, visited.after)}
    if arguments.minutes:
        talked = await talk(stack, arguments.minutes)
        table([talked.summary()])
        table(talked.speakers)
        table(held_rows(talked.before, talked.after))
        found["talk"] = talked.summary() | {
            "speakers": talked.speakers,
            "held": held_rows(talked.before, talked.after),
        }
    return found


def main() -> None:
    """Start the stack, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--visits", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=3, help="visits at the same time")
    parser.add_argument("--minutes", type=float, default=30.0)
    arguments = parser.parse_args()
    disable_native_log_capture()
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        start_stack(Path(folder), model="pocket", capacity=CAPACITY) as stack,
    ):
        found = asyncio.run(soak(stack, arguments))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
