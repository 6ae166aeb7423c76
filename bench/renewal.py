"""Measure calls without end: the parts of one renewal, then an hour of calls.

First: a renewal reads half a context of a session's own tokens in pieces and swaps. Printed: the
time of each piece by its size (a piece must fit into what a step leaves of 80 ms), of the swap, and
the sum, beside the same tokens through steps one by one, which is what a replay without prefill
costs.

Then: sessions talk for `--minutes`, every step followed by the gap that a live engine would have
(80 ms less the step). Counted: renewals, frames missed, steps that alone took longer than 80 ms,
gaps whose work made an otherwise timely frame late, and the memory at the beginning and the end.

    python -m bench.renewal --context 250 --minutes 10           # the pocket Moshi on a CPU
    python -m bench.renewal --arch moshi7b --random --slots 64   # 7B in bf16 on CUDA

A table, then one line of JSON.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import psutil
import structlog
import torch
from prometheus_client import REGISTRY

from bench import models
from bench.models import PERSONA
from worker.engine.arrays import Pcm
from worker.engine.background import BackgroundWork
from worker.engine.engine import GAP_MARGIN_S
from worker.engine.step import MoshiStep
from worker.frames import FRAME_S

WHOLE_GAP_S = 60.0


def time_pieces(work: BackgroundWork) -> dict[str, list[float]]:
    """Record from now on how long the pieces of each kind take."""
    pieces_s: dict[str, list[float]] = {}
    measure = work._measure  # pyright: ignore[reportPrivateUsage]

    def timed(key: Hashable, kind: str) -> None:
        begun_s = time.perf_counter()
        measure(key, kind)
        pieces_s.setdefault(kind, []).append(time.perf_counter() - begun_s)

    work._measure = timed  # pyright: ignore[reportPrivateUsage]
    return pieces_s


class RenewalTalk:
    """A step whose slots all talk."""

    def __init__(self, step: MoshiStep) -> None:
        self.step = step
        self.pieces_s = time_pieces(step.background)
        for slot in range(step.capacity):
            step.join(slot, PERSONA)
        noise = np.random.default_rng(0).normal(size=(25, step.capacity, 1920))
        self._noise: Pcm = (noise * 0.1).astype(np.float32)
        self._all = np.ones(step.capacity, dtype=np.bool_)
        self.frames = self.missed = self.slow = self.over = 0

    def frame(self, gap_s: Callable[[float], float]) -> float:
        """Run one step and its gap; return the seconds of the step."""
        begun_s = time.perf_counter()
        talks = self.frames % 100 < 75  # then a pause
        out = self.step.run(self._noise[self.frames % 25] * talks, self._all)
        took_s = time.perf_counter() - begun_s
        if (left_s := gap_s(took_s)) > 0:
            self.step.work(left_s)
        if took_s > FRAME_S:
            self.slow += 1
        elif time.perf_counter() - begun_s > FRAME_S:
            self.over += 1
        self.missed += int((~out.valid).sum()) if self.frames else 0
        self.frames += 1
        return took_s


def main() -> None:
    options, device = read_options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    step = MoshiStep(
        *models.load(options, device, options.slots),
        options.slots,
        stored=models.stored(options, device),
    )
    list(step.warm([]))
    talk = RenewalTalk(step)
    one = one_renewal(talk)
    for kind, times_ms in one["pieces_ms"].items():
        print(f"{kind:>20}: {len(times_ms):3d} x {statistics.median(times_ms):8.2f} ms")
    print(
        f"a renewal of {one['columns']} columns: {one['ms']:.1f} ms in all, the longest piece "
        f"{one['longest_ms']:.1f} ms; through steps: {one['steps_ms']:.1f} ms"
    )
    row = long_call(talk, options.minutes)
    print("  ".join(f"{name:>14}" for name in row))
    print("  ".join(f"{value:>14}" for value in row.values()))
    result = {"bench": "renewal", "arch": options.arch, "device": models.name_of(options, device)}
    result |= {"context": options.context, "slots": options.slots, "torch": torch.__version__}
    print(json.dumps({**result, "one": one, "call": row}))


def read_options() -> tuple[argparse.Namespace, torch.device]:
    parser = models.options_of(__doc__)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60.0, help="of call, for each slot")
    return models.read(parser)


def one_renewal(talk: RenewalTalk) -> dict[str, Any]:
    """Renew slot 0 twice in a gap without end; the second run is warm."""
    steps_s: list[float] = []
    while talk.frames < talk.step.renewal.keep_frames:
        steps_s.append(talk.frame(lambda took_s: 0.0))
    for _ in range(2):
        talk.pieces_s.clear()
        before = renewals()
        talk.step.renewal.ask(0, "age")
        while renewals() == before:
            talk.step.work(WHOLE_GAP_S)
            if renewals() == before:
                talk.frame(lambda took_s: 0.0)
    pieces = {
        kind: [round(each * 1e3, 2) for each in times_s] for kind, times_s in talk.pieces_s.items()
    }
    columns = int(talk.step.memory.tensors["lm.transformer.offset"][0])
    flat = [each for times_ms in pieces.values() for each in times_ms]
    return {
        "columns": columns,
        "pieces_ms": pieces,
        "ms": round(sum(flat), 1),
        "longest_ms": max(flat),
        "steps_ms": round(statistics.median(steps_s) * 1e3 * columns, 1),
    }


def long_call(talk: RenewalTalk, minutes: float) -> dict[str, float | int]:
    """Talk for a time."""
    talk.missed = talk.slow = talk.over = 0
    before, frames = renewals(), int(minutes * 60 / FRAME_S)
    steps_s: list[float] = []
    memory: list[float] = []
    begun_s = time.perf_counter()
    for n in range(frames):
        steps_s.append(talk.frame(lambda took_s: FRAME_S - GAP_MARGIN_S - took_s))
        if n == frames // 10 or n == frames - 1:
            memory.append(memory_mib(talk.step))
    return {
        "minutes": minutes,
        "took_s": round(time.perf_counter() - begun_s, 1),
        "renewals": renewals() - before,
        "missed": talk.missed,
        "slow_steps": talk.slow,
        "late_gaps": talk.over,
        "step_p50_ms": round(statistics.median(steps_s) * 1e3, 2),
        "step_p99_ms": round(statistics.quantiles(steps_s, n=100)[98] * 1e3, 2),
        "mib_at_tenth": memory[0],
        "mib_at_end": memory[-1],
    }


def memory_mib(step: MoshiStep) -> float:
    """Return the memory of the process, or of torch on the device."""
    if step.memory.device.type == "cuda":
        return round(torch.cuda.memory_reserved() / 2**20, 1)
    return round(psutil.Process().memory_info().rss / 2**20, 1)


def renewals() -> int:
    """Return how many slots were renewed so far."""
    return sum(
        int(sample.value)
        for metric in REGISTRY.collect()
        if metric.name == "moshi_renewed_slots"
        for sample in metric.samples
        if sample.name.endswith("_total")
    )


if __name__ == "__main__":
    main()
