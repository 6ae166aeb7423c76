"""The check at the start compares every kernel that a step uses, in the types that the step has."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from moshi.models.lm import LMModel
from moshi.models.loaders import get_mimi, get_moshi_lm

from worker.engine.files.weights import Unfilled
from worker.engine.kv_choice import KvMemory
from worker.engine.network import transformer
from worker.engine.network.kernels import check
from worker.engine.step import MoshiStep

pytestmark = pytest.mark.slow

META = torch.device("meta")
SIZES = 1, 4, 128  # a session's products, parts of rings and codebooks; and whole rings
Launch = tuple[str, tuple[torch.dtype, ...], frozenset[str]]  # kernel, types, what it is to do


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[Launch]]:
    """Return what is launched; nothing is computed."""
    jit = pytest.importorskip("triton.runtime.jit")
    seen = set[Launch]()

    def launch(kernel: Any, *args: Any, **how: Any) -> None:
        types = tuple(each.dtype for each in args if isinstance(each, torch.Tensor))
        does = frozenset(name for name, value in how.items() if value is True)
        seen.add((kernel.fn.__name__, types, does))
        for each in args:  # codes and tokens that were not computed are no places in tables
            if isinstance(each, torch.Tensor) and each.dtype == torch.int64:
                each.zero_()

    monkeypatch.setattr(
        jit.KernelInterface,
        "__getitem__",
        lambda self, grid: lambda *args, **how: launch(self, *args, **how),
    )
    yield seen


def moshi_7b() -> LMModel:
    """Return Moshi's 7B without weights."""
    with Unfilled():
        return get_moshi_lm(None, None, META, torch.bfloat16)


def test_every_kernel_of_a_step_is_compared(launches: set[Launch]) -> None:
    """The check launches each kernel of a step of Moshi's 7B, in its types and for what it does."""
    lm = moshi_7b()
    check.differences(torch.device("cpu"), lm)
    compared = launches.copy()
    launches.clear()
    with Unfilled():
        mimi = get_mimi(None, None, META)
    for int8 in (False, True):
        stored = KvMemory(int8=int8, kernels=True)
        step = MoshiStep(lm, mimi, max(SIZES), batch_sizes=SIZES, stored=stored)
        with torch.inference_mode():
            for size in SIZES:
                step.graphs[size].run()

    assert len(launches) > 20
    assert launches - compared == set()


def test_attention_and_draws_of_eight_bit_weights_are_compared_in_float16(
    launches: set[Launch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of a model of 8-bit weights launches attention and draws with their float16."""
    monkeypatch.setattr(transformer, "is_quantized", lambda _: True)
    check.differences(torch.device("cpu"), moshi_7b())
    half = {name for name, types, _ in launches if torch.float16 in types}

    assert half >= {"_append", "_attend_dot", "_attend_rows", "_draw_text", "_draw_code"}
