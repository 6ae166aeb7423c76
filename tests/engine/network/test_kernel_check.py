"""What a start compares and compiles: every kernel that a session will use.

Without a card launches are recorded, from tensors that are shapes alone.
"""

# pyright: reportPrivateUsage=false

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest
import torch
from moshi.models.lm import LMModel
from moshi.models.loaders import get_mimi, get_moshi_lm

from worker.engine.conversation.renewal import MOST_PIECE
from worker.engine.files.weights import Unfilled
from worker.engine.kv_choice import KvMemory
from worker.engine.network import transformer
from worker.engine.network.codec import Decoder, Encoder
from worker.engine.network.kernels import check
from worker.engine.network.language import Prefill
from worker.engine.network.memory import Memory
from worker.engine.step import MoshiStep

pytestmark = pytest.mark.slow

META = torch.device("meta")
SIZES = 1, 4, 128  # a session's products, parts of rings and codebooks; and whole rings
# kernel, types, what it is to do, numbers as Triton compiles for them
Launch = tuple[str, tuple[torch.dtype, ...], frozenset[str], tuple[object, ...]]


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[Launch]]:
    """Return what is launched; nothing is computed."""
    jit = pytest.importorskip("triton.runtime.jit")
    seen = set[Launch]()

    def launch(kernel: Any, *args: Any, **how: Any) -> None:
        types = tuple(each.dtype for each in args if isinstance(each, torch.Tensor))
        does = frozenset(name for name, value in how.items() if value is True)
        sizes = (*map(_specialized, args), *sorted(how.items()))
        seen.add((kernel.fn.__name__, types, does, sizes))
        for each in args:  # codes and tokens that were not computed are no places in tables
            if isinstance(each, torch.Tensor) and each.dtype == torch.int64:
                each.zero_()

    monkeypatch.setattr(
        jit.KernelInterface,
        "__getitem__",
        lambda self, grid: lambda *args, **how: launch(self, *args, **how),
    )
    yield seen


def _specialized(number: object) -> object:
    """Return what Triton tells apart of a number; tensors are aligned by the allocator."""
    return (number == 1, number % 16 == 0) if isinstance(number, int) else None


def step_of(lm: LMModel, *, int8: bool, sizes: Sequence[int] = SIZES) -> MoshiStep:
    """Return a step with kernels for the largest of these sizes, or for one session."""
    with Unfilled():
        mimi = get_mimi(None, None, META)
    stored = KvMemory(int8=int8, kernels=True)
    return MoshiStep(lm, mimi, max(sizes, default=1), batch_sizes=sizes, stored=stored)


def run_all(step: MoshiStep) -> None:
    with torch.inference_mode():
        for graph in step.graphs.values():
            graph.run()


def moshi_7b() -> LMModel:
    """Return Moshi's 7B without weights."""
    with Unfilled():
        return get_moshi_lm(None, None, META, torch.bfloat16)


def test_every_kernel_of_a_step_is_compared(launches: set[Launch]) -> None:
    """The check launches each kernel of a step of Moshi's 7B, in its types and for what it does."""
    lm = moshi_7b()
    check.differences(torch.device("cpu"), lm)
    compared = {launch[:3] for launch in launches}
    launches.clear()
    for int8 in (False, True):
        run_all(step_of(lm, int8=int8))

    assert len(launches) > 20
    assert {launch[:3] for launch in launches} - compared == set()


@pytest.mark.parametrize("int8", [False, True])
def test_no_kernel_is_compiled_after_the_start(launches: set[Launch], int8: bool) -> None:
    """Renewals, prompts and first tokens launch what a graph of one and a rehearsal launched.

    `Renewal.rehearse` reads pieces of all sizes at the start.
    """
    step = step_of(moshi_7b(), int8=int8, sizes=[])

    def read(frames: int) -> None:
        there = torch.zeros(frames, step.weights.lm.dim, device=META)
        Prefill(step.weights, 208).read_embedded(there)

    run_all(step)
    for size in range(MOST_PIECE.bit_length()):
        read(2**size)
    codec, rows = step.forcing.prompts._codec, Memory(1, META).rows(1, "codec")
    one = torch.ones(1, dtype=torch.bool, device=META)
    compiled = launches.copy()
    launches.clear()
    with torch.inference_mode():
        for frames in (3, 37):
            read(frames)
        for slot in range(step.capacity):
            with suppress(RuntimeError):  # its token is read, and there is none
                step._first.draw(
                    slot, torch.zeros(1, 1, step.weights.lm.dim, device=META).bfloat16()
                )
        Encoder(codec, rows)(torch.zeros(1, 1, 1920, device=META), one)
        Decoder(codec, rows)(torch.zeros(1, 8, dtype=torch.long, device=META), one)

    assert len(launches) > 20
    assert launches - compiled == set()


def test_attention_and_draws_of_eight_bit_weights_are_compared_in_float16(
    launches: set[Launch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of a model of 8-bit weights launches attention and draws with their float16."""
    monkeypatch.setattr(transformer, "is_quantized", lambda _: True)
    check.differences(torch.device("cpu"), moshi_7b())
    half = {name for name, types, *_ in launches if torch.float16 in types}

    assert half >= {"_append", "_attend_dot", "_attend_rows", "_draw_text", "_draw_code"}
