"""Mimi's convolutions where Triton's kernels run: fewer of them, and nothing is turned around.

A tensor is `[B, C, T]` whose channels lie side by side in memory, which cuDNN's TF32 convolutions
read as it is. torch keeps that order for two dimensions alone (2.10's ATen `_convolution` copies
the input of `conv1d` into `[B, C, T]` order), so these are convolutions of `[B, C, 1, T]`. Biases,
sums and ELUs are left to whoever reads next (`Sum`). State is that of `convolution.py`, by the same
names. Engine thread only.
"""

from collections.abc import Callable, Sequence

import torch
from moshi.modules.seanet import SEANetResnetBlock
from torch import nn
from torch.nn import functional as F

from worker.engine.network.convolution import Kernel, Layer, first_frames
from worker.engine.network.kernels.convolutions import (
    MOMENTS,
    MOST_CHANNELS,
    Sum,
    from_one,
    join,
    overlap,
    to_one,
)
from worker.engine.network.memory import Rows
from worker.engine.network.unsupported import UnsupportedModel

Part = Callable[[Sum, torch.Tensor], Sum]
LayersOf = Callable[[nn.Module], list[Layer]]


class Stage:
    """A module of Mimi over some rows: x `[B, C, T]`, exec mask `[B]` → y `[B, C', T']`."""

    def __init__(self, module: nn.Module, layers_of: LayersOf, rows: Rows, name: str) -> None:
        self._parts = _parts(module, layers_of, rows, name)

    def __call__(self, x: torch.Tensor, exec_mask: torch.Tensor) -> torch.Tensor:
        """Compute one frame of every row; the rows of `exec_mask` advance."""
        return added(_in_turn(self._parts, Sum(x), exec_mask))


class Conv:
    """`convolution.Conv` of a sum, or of its ELU."""

    def __init__(self, kernel: Kernel, rows: Rows, name: str, *, elu: bool) -> None:
        self._kernel, self._weight, self._elu = kernel, kernel.channels_last, elu
        shape = (kernel.channels_in, kernel.overlap)
        self._previous = rows.take(f"{name}.previous", *shape, dtype=kernel.weight.dtype)
        self._first = first_frames(kernel, rows, name)
        small = kernel.groups == 1 and kernel.overlap <= MOMENTS * kernel.stride
        small = small and self._first is None
        self._from_one = small and not elu and kernel.channels_in == 1
        self._from_one = self._from_one and kernel.channels_out <= MOST_CHANNELS
        self._to_one = small and kernel.channels_out == 1 and kernel.channels_in <= MOST_CHANNELS

    def __call__(self, total: Sum, exec_mask: torch.Tensor) -> Sum:
        """Convolve a sum `[B, C, T]`; the rows of `exec_mask` advance."""
        kernel = self._kernel
        how = (kernel.weight, kernel.bias, kernel.stride, kernel.dilation)
        if self._to_one:
            return Sum(to_one(total, *how, self._previous, exec_mask, elu=self._elu))
        if self._from_one:
            return Sum(from_one(added(total), *how, self._previous, exec_mask))
        x = join(
            total,
            elu=self._elu,
            previous=self._previous if kernel.overlap else None,
            first=self._first,
            exec_mask=exec_mask,
        )
        y = F.conv2d(
            x.unsqueeze(2),
            self._weight,
            stride=(1, kernel.stride),
            dilation=(1, kernel.dilation),
            groups=kernel.groups,
        )
        return Sum(y.squeeze(2), kernel.bias)


class ConvTranspose:
    """`convolution.ConvTranspose` of a sum, or of its ELU."""

    def __init__(self, kernel: Kernel, rows: Rows, name: str, *, elu: bool) -> None:
        self._kernel, self._weight, self._elu = kernel, kernel.channels_last, elu
        shape = (kernel.channels_out, kernel.overlap)
        self._partial = rows.take(f"{name}.partial", *shape, dtype=kernel.weight.dtype)
        # Each channel by itself, as Mimi's frames are doubled: `[C, taps]` for one sample.
        self._alone = kernel.groups == len(kernel.weight) and kernel.dilation == 1
        self._alone = self._alone and kernel.weight.shape[1] == 1

    def __call__(self, total: Sum, exec_mask: torch.Tensor) -> Sum:
        """Convolve a sum `[B, C, T]`; the rows of `exec_mask` advance."""
        kernel = self._kernel
        x = join(total, elu=True) if self._elu else added(total)
        if self._alone and x.shape[2] == 1:
            y = x * self._weight[:, 0, 0]
        else:
            y = F.conv_transpose2d(
                x.unsqueeze(2),
                self._weight,
                stride=(1, kernel.stride),
                groups=kernel.groups,
                dilation=(1, kernel.dilation),
            ).squeeze(2)
        if kernel.overlap:
            y = overlap(y, self._partial, exec_mask)
        return Sum(y, kernel.bias)


class _Block:
    """A residual block: the sum of its input, or of a convolution of it, and of its layers."""

    def __init__(self, skip: Sequence[Part], layers: Sequence[Part]) -> None:
        self._skip, self._layers = skip, layers
        self._bias: torch.Tensor | None = None

    def __call__(self, total: Sum, exec_mask: torch.Tensor) -> Sum:
        total = _one(total)
        skipped = _one(_in_turn(self._skip, total, exec_mask))
        computed = _one(_in_turn(self._layers, total, exec_mask))
        bias = computed.bias if skipped.bias is None else skipped.bias
        if skipped.bias is not None and computed.bias is not None:
            if self._bias is None:  # both are weights, so their sum stays as it is
                self._bias = skipped.bias + computed.bias
            bias = self._bias
        return Sum(skipped.x, bias, computed.x)


def added(total: Sum) -> torch.Tensor:
    """Return a sum `[B, C, T]` as one tensor, `[B, T, C]` in memory without gaps."""
    if total.bias is None and total.more is None:
        return total.x.transpose(1, 2).contiguous().transpose(1, 2)
    return join(total)


def _one(total: Sum) -> Sum:
    """Return a sum of one tensor and perhaps a bias."""
    return total if total.more is None else Sum(added(total))


def _in_turn(parts: Sequence[Part], total: Sum, exec_mask: torch.Tensor) -> Sum:
    for part in parts:
        total = part(total, exec_mask)
    return total


def _parts(module: nn.Module, layers_of: LayersOf, rows: Rows, name: str) -> list[Part]:
    """Make the parts that compute the same as a module; an ELU is left to the kernel behind it."""
    layers, parts = layers_of(module), list[Part]()
    for n, layer in enumerate(layers):
        at = f"{name}.{n}"
        if isinstance(layer, Kernel):
            kind = ConvTranspose if layer.transposed else Conv
            parts.append(kind(layer, rows, at, elu=n > 0 and _is_elu(layers[n - 1])))
        elif isinstance(layer, SEANetResnetBlock):
            skip = _parts(layer.shortcut, layers_of, rows, f"{at}.skip")
            parts.append(_Block(skip, _parts(layer.block, layers_of, rows, f"{at}.block")))
        elif _is_elu(layer):
            if n + 1 == len(layers) or not isinstance(layers[n + 1], Kernel):
                parts.append(_elu)
        elif isinstance(layer, nn.ELU | nn.Tanh):
            parts.append(_of_torch(layer))
        elif not isinstance(layer, nn.Identity):
            raise UnsupportedModel(f"Mimi: {type(layer).__name__} is not known here")
    return parts


def _is_elu(layer: Layer) -> bool:
    return isinstance(layer, nn.ELU) and layer.alpha == 1.0


def _elu(total: Sum, exec_mask: torch.Tensor) -> Sum:
    return Sum(join(total, elu=True))


def _of_torch(layer: nn.Module) -> Part:
    return lambda total, exec_mask: Sum(layer(added(total)))
