"""The operations of a layer: moshi's modules with fewer kernels, by Triton where it runs.

Equal to moshi 0.2.13 modules/transformer.py and gating.py. Engine thread only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from moshi.modules.gating import ActivationGating
from moshi.modules.transformer import LayerScale, RMSNorm, StreamingTransformerLayer
from torch import nn
from torch.nn import functional as F

Op = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Looked:
    """Rows of a table, which are looked up where they are added."""

    table: torch.Tensor  # [N, C]
    index: torch.Tensor  # [B]


# What is added to x; None: nothing.
More = torch.Tensor | Looked | None
# x, y [B, T, C] or [B, C] → x + y, its norm
AddNorm = Callable[[torch.Tensor, More], tuple[torch.Tensor, torch.Tensor]]


def norm(module: nn.Module, *, kernels: bool = False) -> Op:
    """Return one fused operation for moshi's RMSNorm (eight upstream); other norms as they are."""
    fused = _fused_norm(module, None) if kernels else None
    if fused is not None:
        return lambda x: fused(x, None)[1]
    if not isinstance(module, RMSNorm):
        return module
    # The model's weights may be bfloat16; the norm is computed in `module.dtype` all the same.
    alpha = module.alpha.detach().flatten()
    alpha = alpha.to(module.dtype or alpha.dtype)
    shape, eps = alpha.shape, module.eps

    def rms_norm(x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x.to(alpha.dtype), shape, alpha, eps).to(x.dtype)

    return rms_norm


def add_norm(module: nn.Module, layer_scale: nn.Module | None = None, *, kernels: bool) -> AddNorm:
    """Return x + y, where there is a y, and its norm: one kernel where kernels run.

    The layer scale, if any, is that of y.
    """
    fused = _fused_norm(module, layer_scale) if kernels else None
    if fused is not None:
        return fused
    then, scaled = norm(module), scale(layer_scale or nn.Identity())

    def added(x: torch.Tensor, y: More) -> tuple[torch.Tensor, torch.Tensor]:
        if isinstance(y, Looked):
            y = F.embedding(y.index, y.table)
        x = x if y is None else x + scaled(y)
        return x, then(x)

    return added


def _fused_norm(module: nn.Module, layer_scale: nn.Module | None) -> AddNorm | None:
    """Return the kernel for a norm and the scale of what is added; None: it knows one of them not.

    In float32 throughout, whatever the model's type.
    """
    from worker.engine.network.kernels import layers

    channels = layer_scale.scale.detach() if isinstance(layer_scale, LayerScale) else None
    if channels is None and not isinstance(layer_scale, nn.Identity | None):
        return None
    if isinstance(module, RMSNorm):
        weights = (module.alpha.detach().flatten(), None)
    elif isinstance(module, nn.LayerNorm) and module.elementwise_affine:
        weight = module.weight.detach()
        parameters = dict(module.named_parameters())
        weights = (weight, parameters.get("bias", torch.zeros_like(weight)).detach())
    else:
        return None
    fused = partial(layers.add_norm, *weights, module.eps, channels)
    return lambda x, y: fused(x, y.table, y.index) if isinstance(y, Looked) else fused(x, y)


def scale(module: nn.Module) -> Op:
    return _same if isinstance(module, nn.Identity) else module


def feed(layer: StreamingTransformerLayer, *, kernels: bool) -> Op:
    """Return the feed-forward part, gated or not."""
    if layer.gating is not None:
        return gate(layer.gating, kernels=kernels)
    inward, outward, activation = layer.linear1, layer.linear2, layer.activation
    assert inward is not None and outward is not None
    project, outward = linear(inward, kernels=kernels), linear(outward, kernels=kernels)
    if kernels and activation is F.gelu:
        from worker.engine.network.kernels import products

        gelu_of = _by_rows(inward, products.gelu_product, lambda x: activation(project(x)))
        return lambda x: outward(gelu_of(x))
    return lambda x: outward(activation(project(x)))


def gate(module: nn.Module, *, kernels: bool) -> Op:
    """Return moshi's gated feed-forward part (modules/gating.py), for inputs of any shape."""
    assert isinstance(module, ActivationGating)
    inward = linear(module.linear_in, kernels=kernels)
    outward, activation = linear(module.linear_out, kernels=kernels), module.activation
    if kernels and activation is F.silu:
        from worker.engine.network.kernels import layers, products

        gate_of = _by_rows(
            module.linear_in, products.gated_product, lambda x: layers.silu_gate(inward(x))
        )
        return lambda x: outward(gate_of(x))

    def gated(x: torch.Tensor) -> torch.Tensor:
        gates, value = inward(x).chunk(2, dim=-1)
        return outward(activation(gates).mul_(value))

    return gated


def linear(module: nn.Module, *, kernels: bool) -> Op:
    """Return a projection, which is a product if it is plain."""
    weight = plain_weight(module)
    return module if weight is None else product(weight, kernels=kernels)


def product(weight: torch.Tensor, *, kernels: bool) -> Op:
    """Return the product with a weight `[N, K]`: of few rows by the kernel, where kernels run."""
    if not kernels:
        return lambda x: F.linear(x, weight)
    from worker.engine.network.kernels import products

    return lambda x: (
        products.product(weight, x) if products.takes(weight, x) else F.linear(x, weight)
    )


def _by_rows(
    module: nn.Module, few: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], several: Op
) -> Op:
    """Return an operation that begins with a linear layer: of few rows by a kernel, if plain."""
    from worker.engine.network.kernels import products

    weight = plain_weight(module)
    if weight is None:
        return several
    return lambda x: few(weight, x) if products.takes(weight, x) else several(x)


def plain_weight(module: nn.Module) -> torch.Tensor | None:
    """Return the weight of a linear layer without bias; None: it is another module."""
    if type(module) is nn.Linear and len([*module.parameters()]) == 1:
        return module.weight.detach()
    return None


def _same(x: torch.Tensor) -> torch.Tensor:
    return x
