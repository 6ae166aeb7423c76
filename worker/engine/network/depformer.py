"""The depformer: draws the codebooks of one frame, one after another, inside one step.

Equal to moshi 0.2.13 models/lm.py `LMGen.depformer_step`, without a streaming state made anew in
every step. Its keys and values live for one step, so they are scratch and no slot's memory.
Engine thread only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from moshi.models.lm import LMModel
from moshi.models.lm_utils import ScaledEmbedding
from moshi.modules.transformer import StreamingTransformerLayer
from torch import nn
from torch.nn import functional as F

from worker.engine.network.memory import Rows
from worker.engine.network.operations import (
    Looked,
    More,
    add_norm,
    feed,
    gate,
    linear,
    plain_weight,
    scale,
)
from worker.engine.network.positions import fits_kernels
from worker.engine.network.transformer import attended_in, is_quantized
from worker.engine.network.unsupported import layers_of

# hidden [B, dim] → the input of each weight set [B, depformer dim]
Projections = Callable[[torch.Tensor], Sequence[torch.Tensor]]

# logits [B, card], number of the codebook → tokens [B]
DrawCode = Callable[[torch.Tensor, int], torch.Tensor]

Part = TypeVar("Part")

# How a slot's text is forced (`ForcedTokens.text_mode`).
FREE, ALWAYS, AT_WORD = 0, 1, 2


@dataclass(frozen=True, slots=True)
class ForcedTokens:
    """Tokens that are used instead of sampled ones, a row for each slot."""

    text: torch.Tensor  # [B]
    text_mode: torch.Tensor  # [B] FREE, ALWAYS, or AT_WORD: where the model begins a word itself
    audio: torch.Tensor  # [B, dep_q]
    audio_mask: torch.Tensor  # [B, dep_q]

    @classmethod
    def of(cls, rows: Rows, dep_q: int) -> "ForcedTokens":
        return cls(
            text=rows.take("forced_text"),
            text_mode=rows.take("forced_text_mode"),
            audio=rows.take("forced_audio", dep_q),
            audio_mask=rows.take("forced_audio_mask", dep_q, dtype=torch.bool),
        )

    @torch.inference_mode()
    def set(
        self, slot: int, text: int | None, audio: Sequence[int | None], *, at_word: bool
    ) -> None:
        """Force tokens on one slot; None: sampled. `at_word`: where the model begins a word."""
        self.text[slot] = text or 0
        self.text_mode[slot] = FREE if text is None else AT_WORD if at_word else ALWAYS
        self.audio[slot] = torch.tensor([code or 0 for code in audio])
        self.audio_mask[slot] = torch.tensor([code is not None for code in audio])


class Depformer:
    """The codebooks of one frame, one after another: eight small steps inside a step."""

    def __init__(
        self, lm: LMModel, inputs: Projections, batch: int, *, kernels: bool = False
    ) -> None:
        assert lm.depformer is not None and lm.depformer_text_emb is not None
        self._inputs = inputs
        schedule = lm.depformer_weights_per_step_schedule or list(range(lm.dep_q))
        self._in_index = schedule if lm.depformer_multi_linear else [0] * lm.dep_q
        self._embed = [looked(lm.depformer_text_emb), *map(looked, lm.depformer_emb or [])]
        layers = layers_of(lm.depformer)
        kernels = kernels and not any(is_quantized(layer.self_attn) for layer in layers)
        self._norms = [add_norm(module, kernels=kernels) for module in lm.depformer_norms]
        self._logits = [linear(module, kernels=kernels) for module in lm.linears]
        self._layers = [
            _DepformerLayer(layer, schedule, batch, lm, kernels=kernels) for layer in layers
        ]

    def __call__(self, text: torch.Tensor, hidden: torch.Tensor, draw: DrawCode) -> torch.Tensor:
        """Draw the agent's codes `[B, dep_q]` after the text token `[B]` and hidden `[B, dim]`."""
        inputs = self._inputs(hidden)
        token, codes = text, []
        for k, logits in enumerate(self._logits):
            x, y = inputs[self._in_index[k]], self._embed[k](token)
            for layer in self._layers:
                x, y = layer(x, y, k)
            _, normed = self._norms[k](x, y)
            token = draw(logits(normed), k)
            codes.append(token)
        return torch.stack(codes, dim=1)


class _DepformerLayer:
    def __init__(
        self,
        layer: StreamingTransformerLayer,
        schedule: list[int],
        batch: int,
        lm: LMModel,
        *,
        kernels: bool,
    ) -> None:
        attention = layer.self_attn
        self._heads = attention.num_heads
        self._schedule = schedule
        shape = (lm.dep_q, batch, 3 * attention.embed_dim)
        dtype = attended_in(attention, lm.dtype)
        self._qkv = torch.zeros(shape, dtype=dtype, device=lm.device)
        self._kernels = kernels and fits_kernels(attention.embed_dim // self._heads)
        self._in = [into(module, kernels=kernels) for module in attention.in_projs]
        self._out = [linear(module, kernels=kernels) for module in attention.out_projs]
        self._norm1, self._norm2 = (
            add_norm(each, kernels=kernels) for each in (layer.norm1, layer.norm2)
        )
        self._scale1, self._scale2 = scale(layer.layer_scale_1), scale(layer.layer_scale_2)
        gating = layer.gating
        several = isinstance(gating, nn.ModuleList)
        self._feeds = (
            [gate(each, kernels=kernels) for each in gating]
            if several
            else [feed(layer, kernels=kernels)]
        )

    def __call__(self, x: torch.Tensor, y: More, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x and what the next layer is to add to it, as `_RingLayer` does."""
        x, normed = self._norm1(x, y)
        x, normed = self._norm2(x, self._scale1(self._attend(normed, k)))
        return x, self._scale2(_of(self._feeds, self._schedule, k)(normed))

    def _attend(self, x: torch.Tensor, k: int) -> torch.Tensor:
        batch = x.shape[0]
        _of(self._in, self._schedule, k)(x, self._qkv[k])
        qkv = self._qkv.view(len(self._qkv), batch, 3, self._heads, -1)
        if k == 0:  # nothing else to attend to
            y = qkv[0, :, 2].flatten(1)
        elif self._kernels:
            from worker.engine.network.kernels import attention

            y = attention.attend_last(qkv, k + 1)
        else:
            q, keys, values = qkv[: k + 1].permute(2, 1, 3, 0, 4)  # [B, H, k + 1, D]
            y = F.scaled_dot_product_attention(q[:, :, k:], keys, values).reshape(batch, -1)
        return _of(self._out, self._schedule, k)(y)


def into(
    module: nn.Module, *, kernels: bool = False
) -> Callable[[torch.Tensor, torch.Tensor], object]:
    """Return the projection of `[B, C]` into a tensor that is given, without a copy if plain."""
    weight = plain_weight(module)
    if weight is None:
        return lambda x, out: out.copy_(module(x))
    turned = weight.t()
    if not kernels:
        return lambda x, out: torch.mm(x, turned, out=out)
    from worker.engine.network.kernels import products

    def project(x: torch.Tensor, out: torch.Tensor) -> object:
        if products.takes(weight, x):
            return products.product(weight, x, out)
        return torch.mm(x, turned, out=out)

    return project


def _of(modules: list[Part], schedule: list[int], k: int) -> Part:
    return modules[0] if len(modules) == 1 else modules[schedule[k]]


def looked(module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor | Looked]:
    """Return the embedding, as rows of its table where it is no more than that."""
    table = table_of(module)
    return module if table is None else partial(Looked, table)


def table_of(module: nn.Module) -> torch.Tensor | None:
    """Return the embedding's table, if looking up is all it does to tokens of at least 0."""
    assert isinstance(module, ScaledEmbedding)
    more = module.norm is not None or module.low_rank is not None or module.demux_second_stream
    return None if more else module.weight.detach()
