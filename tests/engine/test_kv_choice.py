"""Which type keys and values get: as asked, as it fits, as the machine can compute it."""

from dataclasses import replace

import pytest

from tests.engine.test_capacity import MOSHI
from worker.engine.capacity import GIB, MOST_INT8_SLOTS, MemoryPlan, kv_frame_bytes
from worker.engine.kv_choice import KvChoice, KvMemory, KvType, choose

IN_INT8 = replace(MOSHI, int8=True, frame_bytes=kv_frame_bytes(32, 4096, 32, 2, int8=True))


def chosen(
    asked: KvType,
    *,
    capacity: int | None = None,
    no_kernels: str | None = None,
    own: MemoryPlan = MOSHI,
    in_int8: MemoryPlan = IN_INT8,
) -> KvChoice:
    """Return the choice for Moshi's 7B on a card of 80 GB."""
    return choose(
        asked, own, in_int8, own_type="bfloat16", capacity=capacity, no_kernels=no_kernels
    )


def test_auto_takes_int8_where_it_doubles_what_fits() -> None:
    """`auto` takes int8 where twice the sessions fit, and the line has both numbers."""
    choice = chosen("auto")

    assert (choice.stored, choice.plan) == (KvMemory(int8=True, kernels=True), IN_INT8)
    assert choice.line == "Keys and values in int8: 75 sessions fit in int8, 39 in bfloat16"


@pytest.mark.parametrize("capacity", [1, 39])
def test_auto_keeps_the_models_type_where_that_is_enough(capacity: int) -> None:
    """`auto` keeps the model's type for a capacity that fits in it, and takes int8 for more."""
    assert chosen("auto", capacity=capacity).stored == KvMemory(kernels=True)
    assert chosen("auto", capacity=40).stored.int8


def test_auto_keeps_the_models_type_where_little_is_gained() -> None:
    """`auto` keeps the model's type where other parts of a slot are larger than keys and values."""
    own, in_int8 = (replace(each, slot_bytes=GIB) for each in (MOSHI, IN_INT8))

    assert not chosen("auto", own=own, in_int8=in_int8).stored.int8


def test_auto_takes_int8_where_nothing_else_fits() -> None:
    """`auto` takes int8 on a card that holds a session in int8 only."""
    own, in_int8 = (replace(each, free_bytes=17 * GIB) for each in (MOSHI, IN_INT8))

    assert (own.most, in_int8.most) == (0, 1)
    assert chosen("auto", own=own, in_int8=in_int8).stored.int8


def test_an_explicit_type_is_taken() -> None:
    """`bf16` and `int8` are taken whatever fits."""
    assert chosen("bf16", capacity=60).stored == KvMemory(kernels=True)
    assert chosen("int8", capacity=1).stored == KvMemory(int8=True, kernels=True)


@pytest.mark.parametrize("asked", ["auto", "bf16", "int8"])
def test_without_kernels_the_models_type_is_used(asked: KvType) -> None:
    """Without kernels torch's attention is used in the model's type, and the line says why."""
    choice = chosen(asked, no_kernels="Triton is not installed")

    assert (choice.stored, choice.plan) == (KvMemory(), MOSHI)
    assert choice.line == (
        "Keys and values in bfloat16, by torch's attention: Triton is not installed"
    )


def test_a_cpu_takes_int8_only_when_asked() -> None:
    """On a CPU `auto` keeps the model's type, and `int8` is computed by torch."""
    own, in_int8 = (replace(each, on_gpu=False) for each in (MOSHI, IN_INT8))

    assert chosen("auto", own=own, in_int8=in_int8).stored == KvMemory()
    assert chosen("int8", own=own, in_int8=in_int8).stored == KvMemory(int8=True)


def test_without_capacity_int8_has_more_slots() -> None:
    """In int8 as many slots are opened as were measured: 128, where the model's type has 64."""
    assert replace(IN_INT8, free_bytes=400 * GIB).slots(None) == MOST_INT8_SLOTS == 128
