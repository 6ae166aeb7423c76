"""The type of the keys and values that slots remember: what is asked for, what fits, what runs.

Pure: the plans come from `load.py`, what a machine can run from `network/kernels/check.py`.
"""

from dataclasses import dataclass
from typing import Literal

from worker.engine.capacity import MemoryPlan

KvType = Literal["auto", "bf16", "int8"]
WORTH_IT = 1.8  # times the slots: "auto" takes int8 from here on; scales keep it from 2


@dataclass(frozen=True, slots=True)
class KvMemory:
    """How keys and values are stored, and what computes."""

    int8: bool = False
    kernels: bool = False  # a step's positions go through Triton's kernels, its other parts as well


OWN_TYPE = KvMemory()


@dataclass(frozen=True, slots=True)
class KvChoice:
    """The type that was chosen, its plan, and a sentence for people."""

    stored: KvMemory
    plan: MemoryPlan
    line: str


def choose(
    asked: KvType,
    own: MemoryPlan,
    in_int8: MemoryPlan,
    *,
    own_type: str,
    capacity: int | None,
    no_kernels: str | None,
) -> KvChoice:
    """Choose for a device: `own` and `in_int8` are its plans, `no_kernels` why those do not run.

    `auto` takes int8 on CUDA where it nearly doubles the slots that fit, unless `capacity` slots
    fit in the model's own type.
    """
    own_choice = KvMemory(kernels=own.on_gpu and no_kernels is None)
    if not own.on_gpu:
        if asked == "int8":
            return KvChoice(KvMemory(int8=True), in_int8, "Keys and values in int8, by torch")
        return KvChoice(own_choice, own, f"Keys and values in {own_type}")
    if no_kernels is not None:
        line = f"Keys and values in {own_type}, by torch's attention: {no_kernels}"
        return KvChoice(own_choice, own, line)
    counts = f"{in_int8.most} sessions fit in int8, {own.most} in {own_type}"
    if asked == "int8" or (asked == "auto" and _is_worth_it(own.most, in_int8.most, capacity)):
        stored = KvMemory(int8=True, kernels=True)
        return KvChoice(stored, in_int8, f"Keys and values in int8: {counts}")
    return KvChoice(own_choice, own, f"Keys and values in {own_type}: {counts}")


def _is_worth_it(own: int, in_int8: int, capacity: int | None) -> bool:
    if capacity is not None and capacity <= own:
        return False
    return in_int8 >= 1 and in_int8 >= WORTH_IT * own
