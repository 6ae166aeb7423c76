"""Measure a cluster: how quickly rooms are opened and hosted, and what rooms and workers cost.

Token service and redis are real; workers are many in this process, with the real heartbeat,
admission and handling of jobs, and no sound. First come rows with a real LiveKit, in which people
and hosts take part by signalling alone; then rows with a LiveKit of dictionaries (`simulated`), in
which that many rooms are hosted before the measurement begins.

    python -m bench.cluster                       # 10, 100, 300 workers; 1,000 and 10,000 rooms
    python -m bench.cluster --workers 3 --before 6 --many 3 --rooms 4 --seconds 1    # some seconds
"""

import argparse
import asyncio
import json
import logging
import sys
from typing import Any

import structlog

from bench.cluster.cluster import Cluster
from worker.livekit_private.native_log import disable_native_log_capture

Row = dict[str, Any]


async def measure(asked: argparse.Namespace) -> list[Row]:
    """Return the rows."""
    wanted = [(count, None) for count in asked.workers] + [(asked.many, n) for n in asked.before]
    rows: list[Row] = []
    for count, before in wanted:
        livekit = "a real LiveKit" if before is None else f"{before} rooms, a simulated LiveKit"
        print(f"{count} workers, {livekit} …", file=sys.stderr, flush=True)
        rows.append(await Cluster(asked, count, before).measure())
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def show(rows: list[Row]) -> None:
    """Print the figures that fit a table, a line each."""
    for name in [name for name, value in rows[0].items() if not isinstance(value, dict | list)]:
        print(f"{name:>28} " + " ".join(f"{row[name]!s:>10}" for row in rows))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, nargs="*", default=[10, 100, 300], metavar="N")
    parser.add_argument("--before", type=int, nargs="*", default=[1_000, 10_000], metavar="ROOMS")
    parser.add_argument("--many", type=int, default=300, help="workers beside these rooms")
    parser.add_argument("--rooms", type=int, default=100, help="to open in each row")
    parser.add_argument("--clients", type=int, default=8, help="that open rooms at a time")
    parser.add_argument("--seconds", type=float, default=10.0, help="to look on, twice a row")
    parser.add_argument("--opening-s", type=float, default=30.0, help="to open rooms, at most")
    asked = parser.parse_args()
    disable_native_log_capture()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    rows = asyncio.run(measure(asked))
    show(rows)
    print(json.dumps({"bench": "cluster", "rows": rows}))


if __name__ == "__main__":
    main()
