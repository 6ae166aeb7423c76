"""Measure moves of a room between two workers: how long its listener hears nothing.

In a pause: a persona speaks and rests; its pauses are measured first, and then by how much the one
is longer in which the room moves. In the middle: the persona speaks without a pause, so that the
room moves after the 10 s for which a host waits for one, and a second one listens. Real redis,
LiveKit, token service and workers; the model is the scripted one of the tests, whose memory goes
the same way as Moshi's, but costs nothing to make.

    python -m bench.move --moves 20

A table, then one line of JSON.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from harness.person import Person, eventually, person
from harness.rooms import asking_for
from tests.faults.cluster import Cluster
from tests.worker.scripted.schedule import SCHEDULE_FILE, Schedule, SpeechPlan

MOVE_WITHIN_S = 60.0
LISTEN_S = 1.5  # after a move
PAUSES_S = 12.0  # in which pauses are measured
SETTLED_S = 1.0  # a voice's begin
KINDS = {
    "in a pause": {
        "chef": SpeechPlan(speaks=25, rest=15)
    },  # alone: no other persona waits for the floor
    "in the middle": {"chef": SpeechPlan(), "astronaut": SpeechPlan(speaks=0)},
}


@dataclass
class Moves:
    """The results of one kind, in seconds."""

    pause_s: float = 0.0  # the longest without a move
    silences_s: list[float] = field(default_factory=list[float])
    overlaps_s: list[float] = field(default_factory=list[float])
    took_s: list[float] = field(default_factory=list[float])

    def rows(self) -> dict[str, tuple[float, float]]:
        """Return median and worst of each figure."""
        return {
            "silence ms": _of([each - self.pause_s for each in self.silences_s], 1000),
            "two voices ms": _of(self.overlaps_s, 1000),
            "request to switch s": _of(self.took_s, 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure moves of a room between two workers.")
    parser.add_argument("--moves", type=int, default=20, help="of each kind")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        moves = asyncio.run(_measure_all(Path(folder), options.moves))
    rows = {kind: each.rows() for kind, each in moves.items()}
    print(f"{'':36} {'median':>8} {'worst':>8}")
    for kind, figures in rows.items():
        for name, (middle, worst) in figures.items():
            print(f"{f'{kind}, {name}':36} {middle:8} {worst:8}")
    load = [round(each, 1) for each in os.getloadavg()]
    print(json.dumps({"move": rows, "moves": options.moves, "load": load}))


async def _measure_all(folder: Path, count: int) -> dict[str, Moves]:
    schedule = Schedule(folder / "schedule.json")
    paths = {SCHEDULE_FILE.lower(): str(schedule.path)}
    cluster = Cluster(folder, worker_module="tests.worker.scripted", **paths)
    moves: dict[str, Moves] = {}
    try:
        for kind, plans in KINDS.items():
            schedule.write(plans)
            cluster.become(services=1, workers=2)
            moves[kind] = await _measure(cluster.url, plans, count)
    finally:
        cluster.end()
    return moves


async def _measure(url: str, plans: dict[str, SpeechPlan], count: int) -> Moves:
    """Move one room again and again."""
    moves = Moves()
    async with (
        person(url, asking_for(*plans)) as ann,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=20.0) as http,
    ):
        room = {"room": ann.room.name}
        await eventually(lambda: len(ann.heard) == len(plans), "all are heard")
        [session] = (await http.get("/sessions", params=room)).json()
        await asyncio.sleep(SETTLED_S)
        since = ann.timeline.now
        if any(each.rest for each in plans.values()):
            await asyncio.sleep(PAUSES_S)
            moves.pause_s = ann.timeline.longest_silence_s(ann.heard, since)
        for _ in range(count):
            await asyncio.sleep(LISTEN_S)
            await _move(http, f"/sessions/{session['id']}", ann, moves)
    return moves


async def _move(http: httpx.AsyncClient, session: str, ann: Person, moves: Moves) -> None:
    since, begun_s = ann.timeline.now, time.monotonic()
    async with asyncio.timeout(MOVE_WITHIN_S):
        while not (answer := await http.post(f"{session}/move")).is_success:  # noqa: ASYNC110 - the machine stood still, and heartbeats are late
            await asyncio.sleep(0.5)
        view: dict[str, Any] = answer.json()
        generation = view["generation"]
        while view["generation"] == generation:
            await asyncio.sleep(0.1)
            view = (await http.get(session)).json()
    moves.took_s.append(time.monotonic() - begun_s)
    await asyncio.sleep(LISTEN_S)
    voices = list(ann.heard)
    moves.silences_s.append(ann.timeline.longest_silence_s(voices, since))
    moves.overlaps_s.append(max(ann.timeline.overlaps_s(voices, since), default=0.0))


def _of(figures: list[float], times: int) -> tuple[float, float]:
    return round(median(figures) * times, 1), round(max(figures) * times, 1)


if __name__ == "__main__":
    main()
