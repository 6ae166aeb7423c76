"""moshi's `StreamingTransformer` over slots: the same weights and results, far fewer operations.

What all layers of a step share (ring positions, rotation, mask) is computed once per step and not
once per layer, and nothing re-binds state, so a step can be captured as one CUDA graph.
Equal to moshi 0.2.13 modules/transformer.py and rope.py. Engine thread only.
"""

import math

import torch
from moshi.modules.transformer import (
    LayerScale,
    StreamingMultiheadAttention,
    StreamingTransformer,
    StreamingTransformerLayer,
)
from moshi.utils.quantize import QLinear
from torch import nn

from worker.engine.kv_choice import KvMemory
from worker.engine.network.convolution import used
from worker.engine.network.memory import Rows
from worker.engine.network.operations import add_norm, feed, linear, scale
from worker.engine.network.positions import Filled, Places, Positions
from worker.engine.network.ring import KvRing
from worker.engine.network.unsupported import layers_of, refuse_transformer


class RingTransformer:
    """A streaming transformer over the first rows of a memory.

    Its ring holds `context` positions, or `ring` of them where never more are read. Kernels, if
    any, serve `step` positions at a time, as every step has; torch serves any number.
    """

    def __init__(
        self,
        module: StreamingTransformer,
        rows: Rows,
        name: str,
        dtype: torch.dtype,
        stored: KvMemory,
        ring: int | None = None,
        step: int = 1,
    ) -> None:
        refuse_transformer(module)
        layers = layers_of(module)
        attention = layers[0].self_attn
        head_dim = attention.embed_dim // attention.num_heads
        assert attention.context is not None
        ring = ring or attention.context
        self.offset = rows.take(f"{name}.offset")  # [B] positions seen
        dtype = attended_in(attention, dtype)
        device = self.offset.device
        freqs = _frequencies(module, head_dim, device)
        self._places = Places(
            ring, attention.num_heads, head_dim, freqs, dtype, device,
            kernels=stored.kernels, step=step,
        )  # fmt: skip
        scales = [nn.Identity(), *(layer.layer_scale_2 for layer in layers)]
        self._layers = [
            _RingLayer(layer, rows, f"{name}.{n}", ring, dtype, stored, scales[n])
            for n, layer in enumerate(layers)
        ]
        self._last_scale = scale(scales[-1])

    def __call__(self, x: torch.Tensor, exec_mask: torch.Tensor) -> torch.Tensor:
        """Advance the rows of `exec_mask` by the T positions of x `[B, T, C]`."""
        frames = x.shape[1]
        shared, dtype = self._places.share(self.offset, frames, exec_mask), x.dtype
        y = None
        for layer in self._layers:
            x, y = layer(x, y, shared)
        self.offset.add_(exec_mask, alpha=frames)
        x = x if y is None else x + self._last_scale(y)
        return x.to(dtype)  # 8-bit weights give float16 or float32


class _RingLayer:
    def __init__(
        self,
        layer: StreamingTransformerLayer,
        rows: Rows,
        name: str,
        ring: int,
        dtype: torch.dtype,
        stored: KvMemory,
        scale_before: nn.Module,
    ) -> None:
        attention = layer.self_attn
        heads = attention.num_heads
        head_dim = attention.embed_dim // heads
        self._ring = KvRing(rows, name, heads, ring, head_dim, dtype, stored)
        kernels = stored.kernels and not is_quantized(attention)
        self._norm1 = add_norm(layer.norm1, scale_before, kernels=kernels)
        self._norm2 = add_norm(layer.norm2, layer.layer_scale_1, kernels=kernels)
        self._project_in = linear(attention.in_projs[0], kernels=kernels)
        self._project_out = linear(attention.out_projs[0], kernels=kernels)
        self._feed = feed(layer, kernels=kernels)

    def __call__(
        self, x: torch.Tensor, y: torch.Tensor | None, shared: Positions | Filled
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x and what the next layer is to scale and add; `y` is that of the layer before."""
        x, normed = self._norm1(x, y)
        y = self._project_out(self._ring(self._project_in(normed), shared))
        x, normed = self._norm2(x, y)
        return x, self._feed(normed)


def adds_nothing(module: StreamingTransformer) -> bool:
    """Return whether a transformer gives what it gets, as its layers are scaled by zero.

    The pocket Moshi's codec has such a layer, because moshi's streaming asks for one.
    """
    layers = layers_of(module)
    scales = [each for layer in layers for each in (layer.layer_scale_1, layer.layer_scale_2)]
    return all(isinstance(each, LayerScale) and not used(each.scale).any() for each in scales)


def attended_in(attention: StreamingMultiheadAttention, dtype: torch.dtype) -> torch.dtype:
    """Return the type of keys and values: float16 for 8-bit weights, otherwise the model's."""
    return torch.float16 if is_quantized(attention) else dtype


def is_quantized(attention: StreamingMultiheadAttention) -> bool:
    """Return whether a layer has 8-bit weights, whose products have another type than the model."""
    return isinstance(attention.in_projs[0], QLinear)


def _frequencies(
    module: StreamingTransformer, head_dim: int, device: torch.device
) -> torch.Tensor | None:
    if module.rope is None:
        return None
    steps = torch.arange(head_dim // 2, device=device, dtype=torch.float32)
    return torch.exp(steps * (-math.log(module.max_period) * 2 / head_dim))
