"""Mimi's convolutions without their zero channels give what upstream gives."""

import math
from collections.abc import Callable
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import sphn
import torch
from hypothesis import given, settings
from moshi.modules.conv import StreamingConv1d, StreamingConvTranspose1d
from torch import nn

from tests.engine.tiny import tiny_mimi
from training.model import mimi_of
from worker.engine.files.pocket import FOLDER
from worker.engine.network.codec import Decoder, Encoder
from worker.engine.network.convolution import (
    Conv,
    ConvTranspose,
    Kernel,
    without_zero_channels,
)
from worker.engine.network.memory import Memory, Rows

FRAMES, ROWS = 4, 2


@st.composite
def chains(draw: st.DrawFn) -> list[StreamingConv1d | StreamingConvTranspose1d]:
    """Draw two to four convolutions in a row, some of whose weights are zero."""
    channels = draw(st.lists(st.integers(1, 5), min_size=3, max_size=5))
    torch.manual_seed(draw(st.integers(0, 1000)))
    out: list[StreamingConv1d | StreamingConvTranspose1d] = []
    for before, after in pairwise(channels):
        stride = draw(st.integers(1, 3))
        taps = stride + draw(st.integers(0, 3))
        kind = draw(st.sampled_from((StreamingConv1d, StreamingConvTranspose1d)))
        module = kind(before, after, taps, stride, causal=True, bias=draw(st.booleans()))
        _make_zeros(draw, module)
        out.append(module)
    return out


def _make_zeros(draw: st.DrawFn, module: StreamingConv1d | StreamingConvTranspose1d) -> None:
    """Set some of a module's channels and taps to zero."""
    conv = module.conv.conv if isinstance(module, StreamingConv1d) else module.convtr.convtr
    for dim, size in enumerate(conv.weight.shape):
        for at in draw(st.sets(st.integers(0, size - 1))):
            conv.weight.data.select(dim, at).zero_()
    if conv.bias is not None:
        for at in draw(st.sets(st.integers(0, len(conv.bias) - 1))):
            conv.bias.data[at] = 0


@given(chain=chains())
@settings(max_examples=60)
@torch.inference_mode()
def test_a_chain_gives_what_upstream_gives(
    chain: list[StreamingConv1d | StreamingConvTranspose1d],
) -> None:
    """Without zero channels the output stays the same, frame after frame, masked rows included."""
    upstream = nn.Sequential(*(part for module in chain for part in (module, nn.ELU())))
    rows = Memory(ROWS, torch.device("cpu")).rows(ROWS, "codec")
    parts = without_zero_channels([part for m in chain for part in (Kernel.of(m), nn.ELU())])
    stages = [_stage(part, rows, str(n)) for n, part in enumerate(parts)]
    for module in chain:
        module.streaming_forever(ROWS)
    strides = [kernel.stride for kernel in map(Kernel.of, chain) if not kernel.transposed]
    for frame in range(FRAMES):
        mask = torch.tensor([True, frame != 1])
        for module in chain:
            module.set_exec_mask(mask)
        x = torch.randn(ROWS, Kernel.of(chain[0]).channels_in, 2 * math.prod(strides))
        expected, got = upstream(x), x
        for stage in stages:
            got = stage(got, mask)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_most_channels_of_the_pocket_moshis_codec_are_left_out() -> None:
    """Of 44 channels at 24 kHz one is left, and later convolutions have no overlap."""
    encoder = mimi_of(FOLDER).mimi.encoder.get_submodule("model")
    modules = [part for part in encoder if isinstance(part, StreamingConv1d)]
    kernels = without_zero_channels([Kernel.of(module) for module in modules])
    left = [kernel for kernel in kernels if isinstance(kernel, Kernel)]
    assert modules[0].conv.conv.out_channels == 44
    assert left[0].channels_out == 1
    assert [kernel.overlap for kernel in left[2:]] == [0] * len(left[2:])


@torch.inference_mode()
def test_the_pocket_moshis_codec_gives_upstreams_codes_and_sound() -> None:
    """98 % of codes are equal, and sound is within 5e-4: 32 is added to it on its way."""
    weights = mimi_of(FOLDER)
    mimi, rows = weights.mimi, Memory(1, torch.device("cpu")).rows(1, "codec")
    encode, decode = Encoder(weights, rows), Decoder(weights, rows)
    pcm = torch.from_numpy(sphn.read(str(FOLDER / "voices" / "NATF0.wav"))[0])
    mask = torch.ones(1, dtype=torch.bool)
    equal: list[float] = []
    with mimi.streaming(1):
        for frame in pcm[None].split(mimi.frame_size, dim=2)[:12]:
            codes = mimi.encode(frame)
            equal.append((encode(frame, mask) == codes[:, :, 0]).float().mean().item())
            ours, sound = decode(codes[:, :, 0], mask), mimi.decode(codes)[:, 0]
            torch.testing.assert_close(ours, sound, atol=5e-4, rtol=0)
    assert np.mean(equal) > 0.98


@torch.inference_mode()
def test_a_codec_without_zeros_keeps_its_weights() -> None:
    """Weights without zeros are neither changed nor copied."""
    encoder = tiny_mimi().encoder.get_submodule("model")
    modules = [part for part in encoder if isinstance(part, StreamingConv1d)]
    kept = without_zero_channels([Kernel.of(module) for module in modules])
    for module, kernel in zip(modules, kept, strict=True):
        assert isinstance(kernel, Kernel)
        assert kernel.weight.data_ptr() == module.conv.conv.weight.data_ptr()


def _stage(
    part: nn.Module | Kernel, rows: Rows, name: str
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    if not isinstance(part, Kernel):
        return lambda x, mask: part(x)
    return (ConvTranspose if part.transposed else Conv)(part, rows, name)
