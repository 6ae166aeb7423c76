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


def test_unasked_a_gpu_gets_what_fits() -> None:
    """Weights, margin, and 1.5 GiB for each of 39 slots: 78 GiB hold no more."""
    assert MOSHI.slots(None) == 39


def test_unasked_a_large_gpu_gets_no_more_than_anybody_has_shown() -> None:
    """Memory alone does not make a step real time."""
    assert replace(MOSHI, free_bytes=400 * GIB).slots(None) == MOST_SLOTS


def test_recognition_takes_a_row_for_each_slot_and_spare_ones() -> None:
    """The weights and the rows of people who have left stand beside the sessions."""
    plan = MOSHI.with_recognition(2 * GIB, 100 * 2**20)

    assert plan.most < MOSHI.most
    assert f"people's words 2.39 GiB + {plan.most} sessions of 1.60 GiB" in plan.line(plan.most)


def test_unasked_a_cpu_gets_few_slots() -> None:
    """A CPU has memory for many, and time for few."""
    assert replace(MOSHI, on_gpu=False, free_bytes=400 * GIB).slots(None) == CPU_SLOTS


def test_a_capacity_that_fits_is_given_as_asked() -> None:
    """The setting wins over what would be wise."""
    assert MOSHI.slots(39) == 39
    assert replace(MOSHI, free_bytes=400 * GIB).slots(100) == 100


def test_a_refusal_gives_numbers_and_ways_out() -> None:
    """One slot too many: what is needed, what is there, which settings would fit."""
    with pytest.raises(InvalidInput) as refusal:
        MOSHI.slots(40)

    assert str(refusal.value) == (
        "CAPACITY=40 with CONTEXT=3000 needs 79.18 GiB on cuda (NVIDIA H100) (weights 14.30 GiB, "
        "a slot 1.50 GiB), but 78.00 GiB is free; what would fit: CAPACITY=39 or CONTEXT=2942"
    )


def test_a_model_too_large_for_the_device_says_so() -> None:
    """If not even the weights fit, no setting is advised."""
    with pytest.raises(InvalidInput, match="a smaller or quantized model, or a larger device"):
        replace(MOSHI, free_bytes=12 * GIB).slots(None)


def test_a_shorter_context_is_advised_where_one_slot_does_not_fit() -> None:
    """17 GiB hold the weights and one slot with a shorter memory."""
    with pytest.raises(InvalidInput, match=r"what would fit: CONTEXT=\d+$"):
        replace(MOSHI, free_bytes=17 * GIB).slots(None)


def test_what_is_kept_beside_the_slots_takes_its_place() -> None:
    """Prompts and the LM state that renews a session cost slots."""
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


def test_the_line_for_people_names_all_numbers() -> None:
    """Small sizes are told in MiB, large ones in GiB."""
    plan = replace(MOSHI, weights_bytes=15 * 2**20, context_frames=250)

    assert plan.line(6) == (
        "cuda (NVIDIA H100): weights 15 MiB + 6 sessions of 165 MiB (CONTEXT=250) "
        "+ margin 1.05 GiB = 2.03 GiB of 78.00 GiB free"
    )
