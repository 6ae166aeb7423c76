"""Run the product for hours: many joins and leaves, then a long talk; count what is left behind.

Starts a stack of its own with the pocket Moshi: redis, LiveKit, worker, token service, as
`make run` does, with a scripted language model for minds. First visits of the kinds of
`bench.visit_kinds`. Threads, file descriptors and memory of every process and what redis keeps are
counted before and after, slots and rooms afterwards. Then two people and six personas in one room
for so many minutes: who was heard, for how long two AI voices sounded at once, whether each line
of the transcript names its speaker.

    python -m bench.soak                          # 1,000 visits, then 30 minutes
    python -m bench.soak --visits 40 --minutes 2  # a few minutes

Tables, then one line of JSON.
"""

import argparse
import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.family import talk
from bench.visit_kinds import ANSWER, MINDED
from bench.visits import visits
from harness.census import Held
from harness.language_model import Reply, Request, says, scripted_model
from harness.rooms import SIX
from harness.servers import free_port
from harness.stack import Stack, start_stack
from protocol.config.settings import PROJECT
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
        table(visited.quarters)
        table([asdict(visited.redis_before), asdict(visited.redis_after)])
        found["visits"] = asdict(visited)
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
    parser.add_argument("--stt", default="off", help="a folder of Whisper's: people's words, too")
    parser.add_argument("--minutes", type=float, default=30.0)
    arguments = parser.parse_args()
    disable_native_log_capture()
    port = free_port()
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        start_stack(
            Path(folder),
            model="pocket",
            capacity=CAPACITY,
            stt=arguments.stt,
            record_dir=f"{folder}/recordings",
            personas_dir=str(with_a_mind(Path(folder))),
            mind_url=f"http://127.0.0.1:{port}/v1",
            mind_model="scripted",
        ) as stack,
    ):
        found = asyncio.run(with_model(port, stack, arguments))
    print(json.dumps(found))


def with_a_mind(folder: Path) -> Path:
    """Return a folder of the shipped personas, of which one has a language model as its mind."""
    copied = folder / "personas"
    shutil.copytree(PROJECT / "personas", copied)
    persona = copied / f"{MINDED}.toml"
    own = persona.read_text(encoding="utf-8").partition("\n[mind]")[0]
    persona.write_text(own + '\n[mind]\nkind = "chat"\n', encoding="utf-8")
    return copied


async def with_model(port: int, stack: Stack, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the requested parts beside a language model that always gives the same answer."""

    def reply(_: Request) -> Reply:
        model.requests.clear()
        model.keys.clear()
        return says(ANSWER)

    async with scripted_model(port) as model:
        model.otherwise = reply
        return await soak(stack, arguments)


if __name__ == "__main__":
    main()
