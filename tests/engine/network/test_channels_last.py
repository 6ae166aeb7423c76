"""Convolutions between Triton's kernels give what those of torch give, and keep the same state.

They run on a GPU where there is one, else on the CPU through Triton's interpreter.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from moshi.modules.conv import StreamingConv1d, StreamingConvTranspose1d
from moshi.modules.seanet import SEANetResnetBlock
from torch import nn
from torch.nn import functional as F

from tests.engine.tiny import tiny_mimi
from worker.engine.network.codec import CodecLayers, CodecWeights, Decoder, Encoder, stage
from worker.engine.network.kernels.check import MOST_DIFFERENCE
from worker.engine.network.kernels.comparisons import codec_difference
from worker.engine.network.memory import Memory

pytest.importorskip("triton")
from worker.engine.network import channels_last

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FRAMES, ROWS = 3, 3
NEAR = {"atol": 1e-5, "rtol": 1e-4}


@pytest.fixture(autouse=True)
def plain_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn TF32 off: torch's path may round what the kernels do not."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@st.composite
def modules(draw: st.DrawFn) -> list[nn.Module]:
    """Draw convolutions in a row, with ELUs and residual blocks between them."""
    channels = draw(st.lists(st.integers(1, 5), min_size=3, max_size=4))
    torch.manual_seed(draw(st.integers(0, 1000)))
    out: list[nn.Module] = []
    for before, after in pairwise(channels):
        stride, bias = draw(st.integers(1, 3)), draw(st.booleans())
        size = (stride + draw(st.integers(0, 9)), stride)
        transposed = partial(StreamingConvTranspose1d, causal=True, bias=bias)
        kind = draw(st.sampled_from(("constant", "replicate", "transposed", "each by itself")))
        if kind == "transposed":
            out.append(transposed(before, after, *size))
        elif kind == "each by itself":
            out.append(transposed(before, before, *size, groups=before))
            out.append(StreamingConv1d(before, after, 1, causal=True, bias=bias))
        else:
            out.append(StreamingConv1d(before, after, *size, causal=True, bias=bias, pad_mode=kind))
        if draw(st.booleans()):
            out.append(_block(after, draw(st.integers(1, 2)), true_skip=draw(st.booleans())))
        out += draw(st.sampled_from(([], [nn.ELU()], [nn.Identity()], [nn.ELU(0.5)], [nn.Tanh()])))
    return out


@given(data=st.data())
@settings(max_examples=10)
@torch.inference_mode()
def test_kernels_give_what_torch_gives(data: st.DataObject) -> None:
    """Frames of few samples and rows that pause give the same output and the same state."""
    drawn = nn.Sequential(*data.draw(modules())).to(DEVICE)
    memories = [Memory(ROWS, DEVICE) for _ in range(2)]
    by_torch, by_kernels = (
        stage(drawn, CodecLayers(kernels=kernels), memory.rows(ROWS, "codec"), "any")
        for kernels, memory in zip((False, True), memories, strict=True)
    )
    strides = [each.conv.conv.stride[0] for each in drawn if isinstance(each, StreamingConv1d)]
    samples = math.prod(strides) * data.draw(st.integers(1, 3))
    size = _channels_in(drawn[0])
    for _ in range(FRAMES):
        drawn_mask = data.draw(st.lists(st.booleans(), min_size=ROWS, max_size=ROWS))
        mask, x = torch.tensor(drawn_mask).to(DEVICE), torch.randn(ROWS, size, samples).to(DEVICE)
        torch.testing.assert_close(by_kernels(x, mask), by_torch(x, mask), **NEAR)
        for name, tensor in memories[0].tensors.items():
            torch.testing.assert_close(memories[1].tensors[name], tensor, **NEAR)
        assert memories[0].tensors.keys() == memories[1].tensors.keys()


@pytest.mark.usefixtures("few_programs")
@torch.inference_mode()
def test_a_mimi_gives_the_same_codes_and_sound() -> None:
    """A whole Mimi gives the codes and the sound that it gives without kernels."""
    torch.manual_seed(0)
    mimi = tiny_mimi().to(DEVICE)
    mask = torch.ones(ROWS, dtype=torch.bool, device=DEVICE)
    coders = [
        (Encoder(weights, rows), Decoder(weights, rows))
        for weights in (CodecWeights(mimi), CodecWeights(mimi, kernels=True))
        for rows in [Memory(ROWS, DEVICE).rows(ROWS, "codec")]
    ]
    for pcm in torch.randn(FRAMES, ROWS, 1, mimi.frame_size).to(DEVICE):
        codes, sounds = list[torch.Tensor](), list[torch.Tensor]()
        for encode, decode in coders:
            codes.append(encode(pcm, mask))
            sounds.append(decode(codes[0], mask))
        assert torch.equal(*codes)
        torch.testing.assert_close(*sounds, **NEAR)


@pytest.mark.usefixtures("few_programs")
@torch.inference_mode()
def test_convolutions_get_channels_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Input and weights reach torch as cuDNN reads them, and the output leaves in that order."""
    ordered: list[bool] = []

    def spied(convolve: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def run(x: torch.Tensor, weight: torch.Tensor, **how: Any) -> torch.Tensor:
            y = convolve(x, weight, **how)
            for each in (x, weight, y):
                ordered.append(each.is_contiguous(memory_format=torch.channels_last))
            return y

        return run

    for name in ("conv2d", "conv_transpose2d"):
        monkeypatch.setattr(F, name, spied(getattr(F, name)))
    mimi, rows = tiny_mimi().to(DEVICE), Memory(ROWS, DEVICE).rows(ROWS, "codec")
    weights, mask = CodecWeights(mimi, kernels=True), torch.ones(ROWS, dtype=torch.bool)
    codes = Encoder(weights, rows)(
        torch.randn(ROWS, 1, mimi.frame_size).to(DEVICE), mask.to(DEVICE)
    )
    Decoder(weights, rows)(codes, mask.to(DEVICE))
    assert ordered
    assert all(ordered)


@torch.inference_mode()
def test_a_sound_that_is_no_number_is_not_hidden() -> None:
    """A NaN goes through ELUs and comes out, so that its session is begun again."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.ELU(), StreamingConv1d(2, 3, 1, causal=True), nn.ELU()).to(DEVICE)
    run = stage(module, CodecLayers(kernels=True), Memory(1, DEVICE).rows(1, "codec"), "any")
    x = torch.full((1, 2, 1), math.nan, device=DEVICE)
    assert run(x, torch.ones(1, dtype=torch.bool, device=DEVICE)).isnan().all()


def test_the_check_at_the_start_finds_no_difference() -> None:
    """A worker's check at its start finds our kernels right."""
    assert codec_difference(DEVICE, tf32=False) <= MOST_DIFFERENCE


@pytest.mark.usefixtures("few_programs")
@pytest.mark.parametrize("name", ["from_one", "to_one", "overlap", "join"])
def test_the_check_at_the_start_finds_a_wrong_kernel(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's check at its start finds a kernel that gives other numbers."""
    right = getattr(channels_last, name)
    monkeypatch.setattr(channels_last, name, lambda *args, **how: right(*args, **how) * 1.1)
    assert codec_difference(DEVICE, tf32=False) > MOST_DIFFERENCE


def _block(channels: int, dilation: int, *, true_skip: bool) -> SEANetResnetBlock:
    dilations = [dilation, 1]
    return SEANetResnetBlock(
        channels, [3, 1], dilations, causal=True, pad_mode="constant", compress=1,
        true_skip=true_skip,
    )  # fmt: skip


def _channels_in(module: nn.Module) -> int:
    if isinstance(module, StreamingConv1d):
        return module.conv.conv.in_channels
    assert isinstance(module, StreamingConvTranspose1d)
    return module.convtr.convtr.in_channels
