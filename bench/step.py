"""Measure a step against the number of slots, beside solo upstream runs in the same process.

One session alone costs a step of upstream's `LMGen` and Mimi; N sessions, one after another, N such
steps. In a batch the weights are read once for all, so a step grows slowly with its slots. The
last column says how many times as many frames per second the batch gives. Rounds of both take
turns, so that a busy machine slows both alike; medians are shown. With one torch thread on a CPU
the clock is the thread's own, which stands still while other programs have the core. The kernels of
a GPU read what is filled of each memory, so there a step is measured with memories that are nearly
empty, half full and full of random numbers; torch's attention reads all of them at every age.

    python -m bench.step                             # the pocket Moshi on a CPU
    python -m bench.step --arch moshi7b --random     # Moshi's architecture in bf16 on CUDA

`--random` is for where no weights are at hand: the cost does not depend on them.
A table, then one line of JSON.
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMGen, LMModel
from moshi.utils.compile import no_compile
from torch.profiler import ProfilerActivity, profile

from bench import models
from bench.models import PERSONA
from worker.engine.step import MoshiStep

MIMI_POSITIONS = 2  # in a frame
Key = tuple[int, int]  # age of the memories in frames, slots
SOLO: Key = (0, 0)


def main() -> None:
    options, device = read_options()
    lm, mimi = models.load(options, device, max(options.slots))
    sizes = None if device.type == "cpu" else sorted({*options.slots, max(options.slots)})
    stored = models.stored(options, device)
    step = MoshiStep(lm, mimi, max(options.slots), batch_sizes=sizes, stored=stored)
    for slot in range(step.capacity):
        step.join(slot, PERSONA)
    fill_rings(step)
    context = lm.context or 0
    ages = options.ages or ([0, context // 2, context - 10] if stored.kernels else [0])
    frames = {slots: batch_frame(step, slots) for slots in options.slots}
    rows = {(age, slots): frame for age in ages for slots, frame in frames.items()}
    solo = {} if options.no_solo else {SOLO: solo_frame(lm, mimi, device)}
    clock = time.thread_time if device.type == "cpu" and options.threads == 1 else time.perf_counter
    name = models.name_of(options, device)
    print(f"{options.arch} on {name}; a slot takes {step.memory.slot_bytes / 2**20:.1f} MiB")
    print(
        f"{'age':>5} {'slots':>5} {'ms/step':>8} {'p99 ms':>8} {'of 80 ms':>9} {'frames/s':>9}"
        f" {'x solo':>7}"
    )
    times = take_turns(step, solo | rows, options.frames, options.rounds, clock)
    kernels = {slots: kernels_of(frame) for slots, frame in frames.items()}
    report(options, name, times, kernels, join_ms(step))


def read_options() -> tuple[argparse.Namespace, torch.device]:
    parser = models.options_of(__doc__)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 2, 4, 6, 8, 16])
    parser.add_argument("--ages", type=int, nargs="+", help="of the memories, in frames")
    parser.add_argument("--frames", type=int, default=25, help="frames per round")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--no-solo", action="store_true", help="without upstream")
    parser.add_argument(
        "--kernels", type=int, default=0, help="print so many of a step's costliest (CUDA only)"
    )
    return models.read(parser)


def fill_rings(step: MoshiStep) -> None:
    """Fill all keys and values with random numbers: a kernel may be quicker with zeros."""
    for name, tensor in step.memory.tensors.items():
        if name.endswith(".kv"):
            tensor.random_(-127, 128) if tensor.dtype == torch.int8 else tensor.normal_()
        elif name.endswith(".kv_scale"):
            tensor.fill_(0.01)


def set_age(step: MoshiStep, frames: int) -> None:
    """Let all memories hold so many frames."""
    for name, tensor in step.memory.tensors.items():
        if name.endswith(".offset"):
            tensor.fill_(frames * (1 if name.startswith("lm.") else MIMI_POSITIONS))


def solo_frame(lm: LMModel, mimi: MimiModel, device: torch.device) -> Callable[[], None]:
    """Compute one sampled frame of one session with upstream, with CUDA graphs on CUDA."""
    lm_gen = LMGen(lm)
    lm_gen.streaming_forever(1)
    mimi.streaming_forever(1)
    noise = torch.randn(1, 1, mimi.frame_size) * 0.1

    @torch.no_grad()
    def frame() -> None:
        with no_compile():
            tokens = lm_gen.step(mimi.encode(noise.to(device)))
            if tokens is not None:
                mimi.decode(tokens[:, 1:]).cpu()

    return frame


def batch_frame(step: MoshiStep, slots: int) -> Callable[[], None]:
    """Compute one frame of the first `slots` sessions."""
    noise = np.random.default_rng(0).normal(size=(step.capacity, step.buffers.pcm_in.host.shape[1]))
    pcm = (noise * 0.1).astype(np.float32)
    mask = np.arange(step.capacity) < slots

    def frame() -> None:
        step.run(pcm, mask)

    return frame


def join_ms(step: MoshiStep) -> float:
    """Return how long a join delays the others, in ms."""
    begin = time.perf_counter()
    for slot in range(step.capacity):
        step.join(slot, PERSONA)
    if step.memory.device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - begin) / step.capacity * 1e3


def kernels_of(frame: Callable[[], None]) -> list[tuple[str, float]]:
    """Return the kernels and copies of one frame on CUDA, in turn, and their microseconds."""
    if not torch.cuda.is_available():
        return []
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        frame()
        torch.cuda.synchronize()
    events = [each for each in seen.events() or () if each.device_type.name == "CUDA"]
    events.sort(key=lambda each: each.time_range.start)
    return [(each.name, each.time_range.elapsed_us()) for each in events]


def print_costliest(kernels: list[tuple[str, float]], most: int) -> None:
    """Print the names that take the most time together."""
    took_us: dict[str, list[float]] = defaultdict(list)
    for name, each_us in kernels:
        took_us[name].append(each_us)
    costliest = sorted(took_us.items(), key=lambda each: sum(each[1]), reverse=True)
    for name, each_us in costliest[:most]:
        print(f"  {sum(each_us) / 1e3:8.3f} ms {len(each_us):5d} x {name[:90]}")


def take_turns(
    step: MoshiStep,
    runs: dict[Key, Callable[[], None]],
    frames: int,
    rounds: int,
    clock: Callable[[], float],
) -> dict[Key, list[float]]:
    """Return the seconds per frame of every run, without its first frames.

    Each run's row is printed at its last round, so that it outlives what fails later.
    """
    times: dict[Key, list[float]] = {key: [] for key in runs}
    for run in runs.values():
        for _ in range(5):
            run()
    for n in range(rounds):
        for key, run in runs.items():
            set_age(step, key[0])
            for _ in range(frames):
                begin = clock()
                run()
                times[key].append(clock() - begin)
            if n == rounds - 1:
                print_row(times, key)
    return times


def median_ms(times: list[float]) -> float:
    return statistics.median(times) * 1e3


def row_of(times: dict[Key, list[float]], key: Key) -> dict[str, float | None]:
    """Return the figures of an age and a number of slots."""
    (age, slots), ms = key, median_ms(times[key])
    p99_ms = statistics.quantiles(times[key], n=100)[98] * 1e3
    ratio = slots * median_ms(times[SOLO]) / ms if SOLO in times else None
    return {"age": age, "slots": slots, "ms": ms, "p99_ms": p99_ms, "times_solo": ratio}


def print_row(times: dict[Key, list[float]], key: Key) -> None:
    (age, slots), ms = key, median_ms(times[key])
    if key == SOLO:
        print(f"solo upstream: {ms:.2f} ms per frame")
        return
    row = row_of(times, key)
    ratio = "" if row["times_solo"] is None else f"{row['times_solo']:.1f}"
    print(
        f"{age:5d} {slots:5d} {ms:8.2f} {row['p99_ms']:8.2f} {ms / 80:9.0%} {1e3 * slots / ms:9.0f}"
        f" {ratio:>7}"
    )


def report(
    options: argparse.Namespace,
    name: str,
    times: dict[Key, list[float]],
    kernels: dict[int, list[tuple[str, float]]],
    join: float,
) -> None:
    print(f"a join costs {join:.2f} ms, once")
    for slots, each in kernels.items():
        if each:
            print(f"{slots} slots, memories as in the last row: {len(each)} kernels")
            print_costliest(each, options.kernels)
    rows = [row_of(times, key) | {"kernels": len(kernels[key[1]])} for key in times if key != SOLO]
    result = {"bench": "step", "arch": options.arch, "device": name, "join_ms": join}
    result["solo_ms"] = median_ms(times[SOLO]) if SOLO in times else None
    print(json.dumps({**result, "torch": torch.__version__, "rows": rows}))


if __name__ == "__main__":
    main()
