"""Run every benchmark of the engine and compare the results with the goals.

Each benchmark runs in a process of its own, with as many slots as fit the device by the worker's
memory plan, and prints its table. Then comes a table of goals, then one line of JSON that holds
the lines of all. A failed one is reported; the others go on.

    python -m bench                             # the pocket Moshi on a CPU, some minutes
    python -m bench --arch moshi7b --random             # Moshi's 7B on CUDA, about an hour
    python -m bench --arch moshi7b --random --quick     # what shows a goal, in some 5 minutes
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from bench import models

CONTEXT, SHORT_CONTEXT = 3000, 1500  # frames: Moshi's own, and half of it
INT8_GOALS = 128, 72  # sessions at context 3000, on cards of 141 and 80 GB
SPARE = 8  # sessions to try beyond a goal, where they fit
WITHIN = 16  # sessions by which a quick search that misses its goal may be too low
Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One benchmark with its options."""

    name: str  # among the results
    module: str
    options: list[str]


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal for one figure of one result."""

    text: str
    run: str
    reached: Callable[[Result], float]
    holds: Callable[[float], bool]


def main() -> None:
    parser = models.options_of(__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="of simulated calls")
    parser.add_argument("--quick", action="store_true", help="on CUDA, what shows a goal alone")
    options, device = models.read(parser)
    runs, goals = on_gpu(options, device) if device.type == "cuda" else on_cpu(options)
    results = {run.name: measured(run, options) for run in runs}
    print(f"\n{'goal':>45} {'reached':>10}")
    reached = {goal.text: reach(goal, results[goal.run]) for goal in goals}
    for text, (value, holds) in reached.items():
        print(f"{text:>45} {'failed' if value is None else f'{value:.4g}':>10} {holds}")
    print(json.dumps({"bench": "all", "torch": torch.__version__, "goals": reached} | results))


def on_gpu(options: argparse.Namespace, device: torch.device) -> tuple[list[Run], list[Goal]]:
    """Return the benchmarks for a GPU, with Moshi's 7B."""
    most8 = models.plan_7b(CONTEXT, device, int8=True).most
    goal8 = max((n for n in INT8_GOALS if n <= most8), default=1)
    goals = [
        Goal("a step of one session, ms: at most 8", "step8", ms_of_one, lambda ms: ms <= 8),
        Goal(f"int8 sessions at context 3000: {goal8}", "int8", sessions, lambda n: n >= goal8),
        Goal("sessions at context 3000: 72", "long", sessions, lambda n: n >= 72),
        Goal("sessions at context 1500: 128", "short", sessions, lambda n: n >= 128),
        Goal("int8 with new prompts at 3000: 96", "prompted", sessions, lambda n: n >= 96),
        Goal("steps in 80 ms, int8: at most 1.02", "int8", steps_per_80ms, lambda n: n <= 1.02),
        *beside_people(),
        Goal("a new prompt's start, ms: at most 300", "start", new_ms, lambda ms: ms <= 300),
        *unending(),
    ]
    return gpu_runs(options, device, goal8), goals


def gpu_runs(options: argparse.Namespace, device: torch.device, goal8: int) -> list[Run]:
    """Return the runs on a GPU; with `--quick` those alone that show a goal."""
    quick = options.quick
    spare = 0 if quick else SPARE

    def fits(wanted: int, context: int, *, int8: bool = False, prompted: bool = False) -> str:
        """Return how many of so many sessions fit."""
        plan = models.plan_7b(context, device, int8=int8, prompted=prompted)
        return str(min(wanted, plan.most))

    wide, narrow = ["--context", str(CONTEXT)], ["--context", str(SHORT_CONTEXT)]
    int8 = ["--kv", "int8", *wide]
    short = ["--seconds", "4"] if quick else []
    search = [*short, "--search-only", "--within", str(WITHIN)] if quick else []
    long8, with8 = fits(64, CONTEXT, int8=True), fits(goal8 + spare, CONTEXT, int8=True)
    prompted8 = fits(96 + spare, CONTEXT, int8=True, prompted=True)
    beside = fits(64, SHORT_CONTEXT, prompted=True)
    sizes8 = sorted({1, int(long8), goal8})
    steps = [*map(str, sizes8), *int8, *(["--rounds", "1", "--no-solo"] if quick else [])]
    calls = [*narrow, "--minutes", "1"] if quick else [*wide, "--minutes", str(options.minutes)]
    long = fits(64, CONTEXT)
    runs = [
        Run("step8", "step", ["--slots", *steps]),
        Run("int8", "capacity", ["--most", with8, *int8, *short]),
        Run("long", "capacity", ["--most", fits(72 + spare, CONTEXT), *wide, *search]),
        Run("short", "capacity", ["--most", fits(128 + spare, SHORT_CONTEXT), *narrow, *search]),
        Run("prompted", "capacity", ["--most", prompted8, "--prompted", *int8, *search]),
        Run("people", "people", ["--personas", long8, *int8, *short]),
        Run("start", "persona_start", ["--slots", beside, *narrow, *(["--rounds", "4"] * quick)]),
        Run("renewal", "renewal", ["--slots", long, *calls]),
    ]
    if not quick:
        sizes = [str(n) for n in (1, 8, 16, 32, 64) if n <= int(long)]
        runs.append(Run("step", "step", ["--slots", *sizes, *wide]))
        runs.append(Run("memory", "memory", ["--slots", long, *wide]))
    return runs


def on_cpu(options: argparse.Namespace) -> tuple[list[Run], list[Goal]]:
    """Return the benchmarks for a CPU, with the pocket Moshi: all parts run, and a batch pays."""
    runs = [
        Run("step", "step", ["--slots", "1", "8"]),
        Run("capacity", "capacity", ["--most", "4", "--seconds", "4", "--prompted"]),
        Run("people", "people", ["--personas", "2"]),
        Run("start", "persona_start", []),
        Run("memory", "memory", []),
        Run("renewal", "renewal", ["--minutes", str(options.minutes)]),
    ]
    goals = [
        Goal("8 sessions in a batch, x 8 alone: 4", "step", times_of_8, lambda times: times >= 4),
        *beside_people(),
        Goal("a cached start, of the prompt: 0.05", "start", share, lambda part: part <= 0.05),
        *unending(),
    ]
    return runs, goals


def beside_people() -> list[Goal]:
    """Return the benchmarks of voices beside as many people who are listened to."""
    return [
        Goal("voices late beside people's words: 0", "people", voices_late, lambda n: n == 0),
        Goal("a person's token, p99 ms: less than 500", "people", token_ms, lambda ms: ms < 500),
    ]


def unending() -> list[Goal]:
    """Return the benchmarks of calls without end."""
    return [
        Goal("renewals in these calls: 10", "renewal", renewals, lambda count: count >= 10),
        Goal("frames late or missed in them: 0", "renewal", late, lambda count: count == 0),
    ]


def measured(run: Run, options: argparse.Namespace) -> Result | None:
    """Run a benchmark, which prints its table; return its last line, or `None` if it failed."""
    command = command_of(run, options)
    print(f"\n$ {' '.join(['python', *command[1:]])}", flush=True)
    line, begun_s = "", time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
    took_s = round(time.monotonic() - begun_s, 1)
    print(f"took {took_s} s", flush=True)
    if process.returncode != 0 or not line.startswith("{"):
        return None
    return json.loads(line) | {"took_s": took_s}


def command_of(run: Run, options: argparse.Namespace) -> list[str]:
    common = ["--arch", options.arch, *(["--random"] if options.random else [])]
    return [sys.executable, "-m", f"bench.{run.module}", *common, *run.options]


def reach(goal: Goal, result: Result | None) -> tuple[float | None, bool]:
    """Return the figure of a goal, and whether it is reached."""
    if result is None:
        return None, False
    value = goal.reached(result)
    return value, goal.holds(value)


def ms_of_one(result: Result) -> float:
    return result["rows"][0]["ms"]


def times_of_8(result: Result) -> float:
    return next(row["times_solo"] for row in result["rows"] if row["slots"] == 8)


def sessions(result: Result) -> float:
    return result["sessions"]


def steps_per_80ms(result: Result) -> float:
    """Return the most steps in 80 ms of a trial on one grid that holds."""
    rows = [row for row in result["rows"] if row["grid"] and row["sessions"] <= result["sessions"]]
    return max((row["steps_per_80ms"] for row in rows), default=float("inf"))


def new_ms(result: Result) -> float:
    return result["new_ms"]


def share(result: Result) -> float:
    return result["cached_share"]


def voices_late(result: Result) -> float:
    """Return late frames of voices beside people, less those without."""
    alone, *beside = (row["voices_late"] for row in result["rows"])
    return max(0, min(beside) - alone)


def token_ms(result: Result) -> float:
    """Return the time from a person's frame to its token; infinite where none came."""
    times = [row["token_p99_ms"] for row in result["rows"] if row["token_p99_ms"] is not None]
    return min(times, default=float("inf"))


def renewals(result: Result) -> float:
    return result["call"]["renewals"]


def late(result: Result) -> float:
    """Return lost frames, and steps whose frames were late by the step or by its gap."""
    call = result["call"]
    return call["missed"] + call["slow_steps"] + call["late_gaps"]


if __name__ == "__main__":
    main()
