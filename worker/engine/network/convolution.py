"""Mimi's convolutions over slots: the same results as upstream's, without what is always zero.

The pocket Moshi's weights are mostly zeros: its channels come in multiples of 44, and its kernels
look at one block of two. Channels and taps that are zero are left out, so they cost nothing; a
trained Mimi has none, and keeps all.
Equal to moshi 0.2.13 modules/conv.py, with no state that is re-bound. Engine thread only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from moshi.modules.conv import StreamingConv1d, StreamingConvTranspose1d
from torch import nn
from torch.nn import functional as F

from worker.engine.network.memory import Rows

FEW = 8  # windows of a frame that are cheaper to copy out, where they overlap


@dataclass(frozen=True)
class Kernel:
    """The weights of a convolution: `[out, in, taps]`, or `[in, out, taps]` if it is transposed."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    stride: int
    dilation: int
    groups: int
    transposed: bool = False
    replicates: bool = False  # a stream's first frame is padded with its first value

    @classmethod
    def of(cls, module: StreamingConv1d | StreamingConvTranspose1d) -> Self:
        """Return the kernel of a module of Mimi, without the taps that are zero."""
        transposed = isinstance(module, StreamingConvTranspose1d)
        conv = module.convtr.convtr if transposed else module.conv.conv
        assert isinstance(conv, nn.Conv1d | nn.ConvTranspose1d)
        kernel = cls(
            conv.weight.detach(),
            None if conv.bias is None else conv.bias.detach(),
            conv.stride[0],
            conv.dilation[0],
            conv.groups,
            transposed,
            not transposed and module.pad_mode == "replicate",
        )
        return kernel._without_zero_taps()

    @property
    def overlap(self) -> int:
        """Samples of a window, or of what comes of a sample, that the next one shares."""
        return (self.taps - 1) * self.dilation + 1 - self.stride

    @property
    def taps(self) -> int:
        return self.weight.shape[2]

    @property
    def channels_in(self) -> int:
        return self.weight.shape[0] if self.transposed else self.weight.shape[1] * self.groups

    @property
    def channels_out(self) -> int:
        return self.weight.shape[1] * self.groups if self.transposed else self.weight.shape[0]

    @property
    def plain(self) -> bool:
        """Whether every input channel may reach every output channel, tap beside tap."""
        return self.groups == 1 and self.dilation == 1

    @cached_property
    def channels_last(self) -> torch.Tensor:
        """The weights of a convolution of one more dimension, channels side by side in memory."""
        return self.weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)

    @property
    def matrix(self) -> torch.Tensor:
        """A plain kernel's weights for a product: `[in * taps, out]`, `[in, out * taps]`."""
        flat = self.weight.flatten(1)
        return flat if self.transposed else flat.t()

    @cached_property
    def matrix_bias(self) -> torch.Tensor:
        """The bias of each column of the matrix, or one zero."""
        if self.bias is None:
            return self.weight.new_zeros(())
        return self.bias.repeat_interleave(self.taps) if self.transposed else self.bias

    def read(self) -> torch.Tensor:
        """Return which input channels have a weight, `[in]` bool."""
        return used(self.weight).any(dim=2).any(dim=1 if self.transposed else 0)

    def written(self) -> torch.Tensor:
        """Return which output channels may be anything but zero, `[out]` bool."""
        written = used(self.weight).any(dim=2).any(dim=0 if self.transposed else 1)
        return written if self.bias is None else written | used(self.bias)

    def reading(self, kept: torch.Tensor) -> Self:
        """Return the kernel for these input channels `[in]` alone."""
        weight = self.weight[kept] if self.transposed else self.weight[:, kept]
        return replace(self, weight=weight)

    def writing(self, kept: torch.Tensor) -> Self:
        """Return the kernel for these output channels `[out]` alone."""
        weight = self.weight[:, kept] if self.transposed else self.weight[kept]
        return replace(self, weight=weight, bias=None if self.bias is None else self.bias[kept])

    def _without_zero_taps(self) -> Self:
        """Leave out taps that look at nothing: the oldest of a window, the last of a transposed."""
        looked_at = used(self.weight).flatten(end_dim=1).any(dim=0).nonzero().flatten().tolist()
        if self.dilation > 1 or not looked_at:
            return self
        first = self.taps - looked_at[0]
        kept = max(self.stride, looked_at[-1] + 1 if self.transposed else first)
        weight = self.weight[..., :kept] if self.transposed else self.weight[..., -kept:]
        return replace(self, weight=weight.contiguous())


Layer = nn.Module | Kernel


def used(weight: torch.Tensor) -> torch.Tensor:
    """Return which numbers are not zero, on the host; all where there are shapes alone."""
    if weight.is_meta:
        return torch.ones(weight.shape, dtype=torch.bool)
    return weight.ne(0).cpu()


def first_frames(kernel: Kernel, rows: Rows, name: str) -> torch.Tensor | None:
    """Return which rows were never convolved, `[B, 1, 1]`, where a first frame is padded."""
    if not kernel.replicates or not kernel.overlap:
        return None
    return rows.take(f"{name}.first", 1, 1, dtype=torch.bool, fill=True)


def by_product(kernel: Kernel) -> bool:
    """Return whether a convolution may be a matrix product: a plain one on a CPU.

    There torch packs a convolution's weights at each call, which takes longer than the product.
    """
    return kernel.plain and kernel.weight.device.type == "cpu"


def without_zero_channels(layers: Sequence[Layer]) -> list[Layer]:
    """Leave out channels between two kernels that are always zero or that the second never reads.

    Only where nothing but ELU or Identity stands between them, which leave a zero as it is.
    """
    out = list(layers)
    pairs = _neighbours(out)
    for first, second in [*pairs, *reversed(pairs)]:
        before, after = out[first], out[second]
        assert isinstance(before, Kernel) and isinstance(after, Kernel)
        kept = before.written() & after.read()
        if kept.any() and not kept.all():
            out[first], out[second] = before.writing(kept), after.reading(kept)
    return out


def _neighbours(layers: Sequence[Layer]) -> list[tuple[int, int]]:
    """Return the places of plain kernels that follow each other."""
    pairs: list[tuple[int, int]] = []
    last: int | None = None
    for n, layer in enumerate(layers):
        if isinstance(layer, Kernel) and layer.plain:
            pairs += [] if last is None else [(last, n)]
            last = n
        elif not isinstance(layer, nn.ELU | nn.Identity):
            last = None
    return pairs


class Conv:
    """`StreamingConv1d`: a causal convolution that keeps the last samples of each row."""

    def __init__(self, kernel: Kernel, rows: Rows, name: str) -> None:
        self._kernel, self._kept = kernel, kernel.overlap
        self._by_product = by_product(kernel)
        dtype = kernel.weight.dtype
        self._previous = rows.take(f"{name}.previous", kernel.channels_in, self._kept, dtype=dtype)
        self._first = first_frames(kernel, rows, name)

    def __call__(self, x: torch.Tensor, exec_mask: torch.Tensor) -> torch.Tensor:
        """Convolve x `[B, C, T]`; the rows of `exec_mask` advance."""
        if self._kept:
            x = self._continued(x, exec_mask)
        kernel = self._kernel
        windows = (x.shape[2] - self._kept) // kernel.stride
        if self._by_product and (self._kept == 0 or windows <= FEW):
            return _of_windows(kernel, x)
        return F.conv1d(
            x,
            kernel.weight,
            kernel.bias,
            kernel.stride,
            dilation=kernel.dilation,
            groups=kernel.groups,
        )

    def _continued(self, x: torch.Tensor, exec_mask: torch.Tensor) -> torch.Tensor:
        """Return x with what is kept of each row in front of it, and keep its end."""
        previous = self._previous
        if self._first is not None:
            # A row's first frame is padded on the left with its own first value.
            previous = torch.where(self._first, x[..., :1], previous)
            self._first.logical_and_(~exec_mask[:, None, None])
        x = torch.cat([previous, x], dim=-1)
        torch.where(
            exec_mask[:, None, None], x[..., -self._kept :], self._previous, out=self._previous
        )
        return x


class ConvTranspose:
    """`StreamingConvTranspose1d`: overlap and add, with the overlap of each row kept."""

    def __init__(self, kernel: Kernel, rows: Rows, name: str) -> None:
        self._kernel, self._kept = kernel, kernel.overlap
        self._by_product = self._kept == 0 and by_product(kernel)
        self._bias = None if kernel.bias is None else kernel.bias[:, None]
        dtype = kernel.weight.dtype
        self._partial = rows.take(f"{name}.partial", kernel.channels_out, self._kept, dtype=dtype)

    def __call__(self, x: torch.Tensor, exec_mask: torch.Tensor) -> torch.Tensor:
        """Convolve x `[B, C, T]`; the rows of `exec_mask` advance."""
        kernel = self._kernel
        if self._by_product:
            return _of_samples(kernel, x)
        y = F.conv_transpose1d(
            x,
            kernel.weight,
            kernel.bias,
            kernel.stride,
            groups=kernel.groups,
            dilation=kernel.dilation,
        )
        if self._kept == 0:
            return y
        y[..., : self._kept].add_(self._partial)
        tail = y[..., -self._kept :]
        if self._bias is not None:
            tail = tail - self._bias
        torch.where(exec_mask[:, None, None], tail, self._partial, out=self._partial)
        return y[..., : -self._kept]


def _of_windows(kernel: Kernel, x: torch.Tensor) -> torch.Tensor:
    """Return `[B, out, T']` of x `[B, in, T]`: the product of each window."""
    windows = x.unfold(2, kernel.taps, kernel.stride).transpose(1, 2)  # [B, T', in, taps]
    matrix = kernel.matrix
    y = torch.addmm(kernel.matrix_bias, windows.reshape(-1, len(matrix)), matrix)
    return y.view(len(x), -1, kernel.channels_out).transpose(1, 2)


def _of_samples(kernel: Kernel, x: torch.Tensor) -> torch.Tensor:
    """Return `[B, out, T * taps]` of x `[B, in, T]`: what comes of each sample, in turn."""
    samples = x.transpose(1, 2).reshape(-1, x.shape[1])
    y = torch.addmm(kernel.matrix_bias, samples, kernel.matrix)
    y = y.view(len(x), -1, kernel.channels_out, kernel.taps).transpose(1, 2)  # [B, out, T, taps]
    return y.reshape(len(x), kernel.channels_out, -1)
