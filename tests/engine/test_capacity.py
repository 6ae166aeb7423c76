"""The memory plan: how many slots fit, and what a refusal says."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InvalidInput
from worker.engine.capacity import CPU_SLOTS, GIB, MOST_SLOTS, MemoryPlan

# Moshi's 7B in bfloat16 (15.4 GB, 0.5 MiB of keys and values a frame), on a card of 80 GB.
MOSHI = MemoryPlan(
    device="cuda (NVIDIA H100)",
    on_gpu=True,
    free_bytes=78 * GIB,
    weights_bytes=int(14.3 * GIB),
    frame_bytes=2**19,
    slot_bytes=40 * 2**20,
    context_frames=3000,
)


def test_without_capacity_a_gpu_gets_as_many_slots_as_fit() -> None:
    """78 GiB hold weights, margin and 39 slots of 1.5 GiB."""
    assert MOSHI.slots(None) == 39


def test_without_capacity_a_gpu_gets_at_most_the_slots_that_were_measured() -> None:
    """A GPU with memory for more gets `MOST_SLOTS`: memory does not make a step real time."""
    assert replace(MOSHI, free_bytes=400 * GIB).slots(None) == MOST_SLOTS


def test_recognition_takes_a_row_for_each_slot_and_spare_ones() -> None:
    """A recogniser's weights and rows leave room for fewer sessions, and the line names them."""
    plan = MOSHI.with_recognition(2 * GIB, 100 * 2**20)

    assert plan.most < MOSHI.most
    assert f"people's words 2.39 GiB + {plan.most} sessions of 1.60 GiB" in plan.line(plan.most)


def test_without_capacity_a_cpu_gets_few_slots() -> None:
    """A CPU gets `CPU_SLOTS`, however much memory it has."""
    assert replace(MOSHI, on_gpu=False, free_bytes=400 * GIB).slots(None) == CPU_SLOTS


def test_a_capacity_that_fits_is_given_as_asked() -> None:
    """CAPACITY may be more than the default, as long as it fits."""
    assert MOSHI.slots(39) == 39
    assert replace(MOSHI, free_bytes=400 * GIB).slots(100) == 100


def test_a_refusal_gives_numbers_and_ways_out() -> None:
    """A capacity that does not fit is refused with what it needs and settings that fit."""
    with pytest.raises(InvalidInput) as refusal:
        MOSHI.slots(40)

    assert str(refusal.value) == (
        "CAPACITY=40 with CONTEXT=3000 needs 79.18 GiB on cuda (NVIDIA H100) (weights 14.30 GiB, "
        "a slot 1.50 GiB), but 78.00 GiB is free; what would fit: CAPACITY=39 or CONTEXT=2942"
    )


def test_a_model_too_large_for_the_device_says_so() -> None:
    """If the weights do not fit, the refusal advises a smaller model or a larger device."""
    with pytest.raises(InvalidInput, match="a smaller or quantized model, or a larger device"):
        replace(MOSHI, free_bytes=12 * GIB).slots(None)


def test_a_shorter_context_is_advised_where_one_slot_does_not_fit() -> None:
    """If not one slot fits, the refusal advises a shorter CONTEXT."""
    with pytest.raises(InvalidInput, match=r"what would fit: CONTEXT=\d+$"):
        replace(MOSHI, free_bytes=17 * GIB).slots(None)


def test_prompts_and_renewals_take_memory_from_slots() -> None:
    """The prompt states and the LM state for renewals leave room for fewer slots."""
    beside = replace(MOSHI, prompts_bytes=GIB, renewal_bytes=int(1.5 * GIB))
    assert beside.slots(None) == 37


@given(free_gib=st.integers(1, 200), context=st.integers(250, 8000), asked=st.integers(1, 128))
def test_what_is_advised_fits(free_gib: int, context: int, asked: int) -> None:
    """Settings that a refusal advises are not refused."""
    plan = replace(MOSHI, free_bytes=free_gib * GIB, context_frames=context)
    try:
        plan.slots(asked)
    except InvalidInput as refusal:
        if fewer := re.search(r"fit: CAPACITY=(\d+)", str(refusal)):
            assert plan.slots(int(fewer[1])) == int(fewer[1])
        if shorter := re.search(r"(?:fit: | or )CONTEXT=(\d+)", str(refusal)):
            assert replace(plan, context_frames=int(shorter[1])).slots(asked) == asked


def test_the_line_of_the_plan_names_all_numbers() -> None:
    """The plan's line has small sizes in MiB and large ones in GiB."""
    plan = replace(MOSHI, weights_bytes=15 * 2**20, context_frames=250)

    assert plan.line(6) == (
        "cuda (NVIDIA H100): weights 15 MiB + 6 sessions of 165 MiB (CONTEXT=250) "
        "+ margin 1.05 GiB = 2.03 GiB of 78.00 GiB free"
    )
