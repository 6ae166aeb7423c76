"""Mimi's convolutions over slots: the same results as upstream's, without what is always zero.

The pocket Moshi's weights are mostly zeros: its channels come in multiples of 44, and its kernels
look at one block of two. Channels and taps that are zero are left out, so they cost nothing; a
trained Mimi has none, and keeps all.
Equal to moshi 0.2.13 modules/conv.py, with no state that is re-bound. Engine thread only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
        return (self.weight.shape[2] - 1) * self.dilation + 1 - self.stride

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
        taps = self.weight.shape[2]
        kept = max(self.stride, looked_at[-1] + 1 if self.transposed else taps - looked_at[0])
        weight = self.weight[..., :kept] if self.transposed else self.weight[..., taps - kept :]
        return replace(self, weight=weight.contiguous())


def used(weight: torch.Tensor) -> torch.Tensor:
    """Return which numbers are not zero, on the host; all where there are shapes alone."""
    if weight.is_meta:
        return torch.ones(weight.shape, dtype=torch.bool)
    return weight.ne(0).cpu()


def by_product(kernel: Kernel) -> bool:
    """Return whether a convolution runs as a matrix product: a plain one on a CPU."""
    return kernel.plain and kernel.weight.device.type == "cpu"


def without_zero_channels(parts: Sequence[nn.Module | Kernel]) -> list[nn.Module | Kernel]:
    """Leave out channels between two kernels that are always zero or that the second never reads.

    Only where nothing but ELU or Identity stands between them, which leave a zero as it is.
    """
    out = list(parts)
    pairs = _neighbours(out)
    for first, second in [*pairs, *reversed(pairs)]:
        before, after = out[first], out[second]
        assert isinstance(before, Kernel) and isinstance(after, Kernel)
        kept = before.written() & after.read()
        if kept.any() and not kept.all():
            out[first], out[second] = before.writing(kept), after.reading(kept)
    return out


def _neighbours(parts: Sequence[nn.Module | Kernel]) -> list[tuple[int, int]]:
    """Return the places of plain kernels that follow each other."""
    pairs: list[tuple[int, int]] = []
    last: int | None = None
    for n, part in enumerate(parts):
        if isinstance(part, Kernel) and part.plain:
            pairs += [] if last is None else [(last, n)]
            last = n
        elif not isinstance(part, nn.ELU | nn.Identity):
            last = None
    return pairs


class Conv:
    """`StreamingConv1d`: a causal convolution that keeps the last samples of each row."""

    def __init__(self, kernel: Kernel, rows: Rows, name: str) -> None:
        self._kernel, self._kept = kernel, kernel.overlap
        self._product = _Product(kernel) if by_product(kernel) else None
        dtype = kernel.weight.dtype
        self._previous = rows.take(f"{name}.previous", kernel.channels_in, self._kept, dtype=dtype)
        self._first: torch.Tensor | None = None
        if kernel.replicates and self._kept:
            self._first = rows.take(f"{name}.first", 1, 1, dtype=torch.bool, fill=True)

    def __call__(self, x: torch.Tensor, exec_mask: torch.Tensor) -> torch.Tensor:
        """Convolve x `[B, C, T]`; the rows of `exec_mask` advance."""
        if self._kept:
            x = self._continued(x, exec_mask)
        kernel = self._kernel
        windows = (x.shape[2] - self._kept) // kernel.stride
        if self._product is not None and (self._kept == 0 or windows <= FEW):
            return self._product.windows(x)
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
        apart = self._kept == 0
        self._product = _Product(kernel) if apart and by_product(kernel) else None
        self._bias = None if kernel.bias is None else kernel.bias[:, None]
        dtype = kernel.weight.dtype
        self._partial = rows.take(f"{name}.partial", kernel.channels_out, self._kept, dtype=dtype)

    def __call__(self, x: torch.Tensor, exec_mask: torch.Tensor) -> torch.Tensor:
        """Convolve x `[B, C, T]`; the rows of `exec_mask` advance."""
        if self._product is not None:
            return self._product.pieces(x)
        kernel = self._kernel
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
        y[..., : self._kept] += self._partial
        tail = y[..., -self._kept :]
        if self._bias is not None:
            tail = tail - self._bias
        torch.where(exec_mask[:, None, None], tail, self._partial, out=self._partial)
        return y[..., : -self._kept]


class _Product:
    """A plain convolution as one matrix product: torch's own on a CPU packs its weights each time.

    Frames are short, so packing costs more than the product.
    """

    def __init__(self, kernel: Kernel) -> None:
        weight, bias = kernel.weight, kernel.bias
        self._stride, self._taps, self._out = kernel.stride, weight.shape[2], kernel.channels_out
        if kernel.transposed:  # [in, out * taps]
            self._matrix = weight.flatten(1).contiguous()
            bias = None if bias is None else bias.repeat_interleave(self._taps)
        else:  # [in * taps, out]
            self._matrix = weight.flatten(1).t().contiguous()
        self._bias = self._matrix.new_zeros(()) if bias is None else bias

    def windows(self, x: torch.Tensor) -> torch.Tensor:
        """Return `[B, out, T']` of x `[B, in, T]`: the product of each window."""
        windows = x.unfold(2, self._taps, self._stride).transpose(1, 2)  # [B, T', in, taps]
        y = torch.addmm(self._bias, windows.reshape(-1, len(self._matrix)), self._matrix)
        return y.view(len(x), -1, self._out).transpose(1, 2)

    def pieces(self, x: torch.Tensor) -> torch.Tensor:
        """Return `[B, out, T * taps]` of x `[B, in, T]`: what comes of each sample, in turn."""
        y = torch.addmm(self._bias, x.transpose(1, 2).reshape(-1, x.shape[1]), self._matrix)
        y = y.view(len(x), -1, self._out, self._taps).transpose(1, 2)  # [B, out, T, taps]
        return y.reshape(len(x), self._out, -1)
