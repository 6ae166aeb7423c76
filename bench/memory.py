"""Compare the memory plan, made before any weight is loaded, with the memory used.

The plan is `load.py`'s own, for the model without its weights. Measured, one after another:
the weights, the slots as the step holds them (exact) and as the process or device sees them, the
first steps (workspaces, captured graphs), a renewal's second LM state. On a CPU "seen" is resident
memory, which includes what libraries keep for themselves; on CUDA what torch has reserved.

    python -m bench.memory                                     # the pocket Moshi on a CPU
    python -m bench.memory --arch moshi7b --random --slots 64  # 7B in bf16 on CUDA

A table, then one line of JSON.
"""

import argparse
import json

import numpy as np
import psutil
import structlog
import torch

from bench import models
from bench.models import PERSONA
from worker.engine import load
from worker.engine.capacity import MemoryPlan
from worker.engine.step import MoshiStep

MIB = 2**20


def main() -> None:
    options, device = read_options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    rows: list[tuple[str, float | None, float | None, float]] = []
    seen = seen_bytes(device)

    def row(name: str, plan: int | None, exact: int | None) -> None:
        nonlocal seen
        before, seen = seen, seen_bytes(device)
        rows.append((name, mib(plan), mib(exact), (seen - before) / MIB))

    lm, mimi = models.load(options, device, options.slots)
    plan = plan_of(lm, mimi, device)
    weights = [*lm.parameters(), *mimi.parameters()]
    held = sum(each.numel() * each.element_size() for each in weights)
    row("weights", plan.weights_bytes, held)
    step = MoshiStep(lm, mimi, options.slots, stored=models.stored(options, device))
    slot_bytes = plan.slot_bytes + plan.context_frames * plan.frame_bytes
    row(
        f"{options.slots} slots", options.slots * slot_bytes, options.slots * step.memory.slot_bytes
    )
    talk(step, step.renewal.keep_frames)
    row("first steps", None, step.renewal.history.columns.nbytes)
    renew(step)
    row(
        "second LM state",
        plan.renewal_bytes,
        step.renewal.reader.memory.slot_bytes if step.renewal.reader else 0,
    )
    talk(step, 50)
    row("more steps", None, None)
    report(options, device, rows, plan, step)


def read_options() -> tuple[argparse.Namespace, torch.device]:
    parser = models.options_of(__doc__)
    parser.add_argument("--slots", type=int, default=8)
    return models.read(parser)


def plan_of(lm: torch.nn.Module, mimi: torch.nn.Module, device: torch.device) -> MemoryPlan:
    """Return the worker's memory plan."""
    dtype = next(lm.parameters()).dtype
    return load.plan_memory(lm, mimi, device, dtype)  # type: ignore[arg-type]


def talk(step: MoshiStep, frames: int) -> None:
    """Run every slot for a time."""
    for slot in range(step.capacity):
        step.join(slot, PERSONA)
    silence = np.zeros((step.capacity, 1920), dtype=np.float32)
    for _ in range(frames):
        step.run(silence, np.ones(step.capacity, dtype=np.bool_))


def renew(step: MoshiStep) -> None:
    """Renew slot 0, after a pause of its conversation."""
    step.renewal.ask(0, "age")
    silence = np.zeros((step.capacity, 1920), dtype=np.float32)
    while step.work(60.0):
        step.run(silence, np.ones(step.capacity, dtype=np.bool_))


def seen_bytes(device: torch.device) -> int:
    """Return the memory of the process, or of torch on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.memory_reserved()
    return psutil.Process().memory_info().rss


def mib(count: int | None) -> float | None:
    return None if count is None else count / MIB


def report(
    options: argparse.Namespace,
    device: torch.device,
    rows: list[tuple[str, float | None, float | None, float]],
    plan: MemoryPlan,
    step: MoshiStep,
) -> None:
    name = models.name_of(options, device)
    print(f"{options.arch} on {name}; context {plan.context_frames}; MiB")
    print(f"{'':>14} {'planned':>10} {'held':>10} {'seen':>10}")
    for label, planned, held, seen in rows:
        cells = [f"{'':>10}" if each is None else f"{each:10.1f}" for each in (planned, held, seen)]
        print(f"{label:>14} {' '.join(cells)}")
    planned_slot = (plan.slot_bytes + plan.context_frames * plan.frame_bytes) / MIB
    print(f"a slot: planned {planned_slot:.2f} MiB, held {step.memory.slot_bytes / MIB:.2f} MiB")
    need = plan.need_bytes(options.slots) / MIB
    print(f"the plan asks for {need:.0f} MiB, margins included; seen {sum(r[3] for r in rows):.0f}")
    result = {"bench": "memory", "arch": options.arch, "device": name, "slots": options.slots}
    result |= {"context": plan.context_frames, "torch": torch.__version__, "need_mib": need}
    fields = ("what", "planned_mib", "held_mib", "seen_mib")
    print(json.dumps({**result, "rows": [dict(zip(fields, each, strict=True)) for each in rows]}))


if __name__ == "__main__":
    main()
