"""Tiny random models in the real classes: an `LMModel` of either kind and a `MimiModel`.

A step takes a few milliseconds, and every mechanism is in use: acoustic delay, ring wrap, text,
streams of agent and person, eight depformer steps.
"""

from collections.abc import Sequence
from typing import Any

import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMModel
from moshi.models.loaders import get_mimi
from moshi.quantization.core_vq import EuclideanCodebook

from worker.engine.step import MoshiStep

CARD = 24
TEXT_CARD = 40


def tiny_lm(seed: int = 0, *, dep_q: int = 8, context: int = 12, dim: int = 32) -> LMModel:
    """Return a random Moshi (`dep_q=8`) or a published PersonaPlex (`dep_q=16`), in float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        lm = LMModel(
            dim=dim,
            text_card=TEXT_CARD,
            existing_text_padding_id=3,
            n_q=16,
            dep_q=dep_q,
            card=CARD,
            num_heads=2,
            num_layers=2,
            hidden_scale=4.125,
            causal=True,
            layer_scale=None,
            context=context,
            max_period=10000,
            gating="silu",
            norm="rms_norm_f32",
            positional_embedding="rope",
            depformer_dim=16,
            depformer_dim_feedforward=66,
            depformer_num_heads=2,
            depformer_num_layers=2,
            depformer_layer_scale=None,
            depformer_multi_linear=True,
            depformer_context=8,
            depformer_max_period=10000,
            depformer_gating="silu",
            depformer_pos_emb="none",
            depformer_weights_per_step=True,
            delays=[0, *([0] + [1] * 7) * 2],
        )
        _make_lively(lm)
    return lm.eval()


def _make_lively(lm: LMModel) -> None:
    """Spread embeddings and logits: otherwise a random model says one token for ever."""
    for name, weights in lm.named_parameters():
        if "emb" in name:
            weights.data.normal_(std=1.0)
        elif "linears" in name or "text_linear" in name:
            weights.data.mul_(3.0)


def mimi_config(*, context: int = 10) -> dict[str, Any]:
    """Return the config of a Mimi: 24 kHz, frames of 1920 samples, 8 codebooks of `CARD` codes."""
    seanet = {
        "channels": 1,
        "dimension": 16,
        "causal": True,
        "n_filters": 2,
        "n_residual_layers": 1,
        "activation": "ELU",
        "compress": 2,
        "dilation_base": 2,
        "disable_norm_outer_blocks": 0,
        "kernel_size": 7,
        "residual_kernel_size": 3,
        "last_kernel_size": 3,
        "norm": "none",
        "pad_mode": "constant",
        "ratios": [8, 6, 5, 4],
        "true_skip": True,
    }
    transformer = {
        "d_model": 16,
        "num_heads": 2,
        "num_layers": 1,
        "causal": True,
        "layer_scale": 0.5,
        "context": context,
        "conv_layout": True,
        "max_period": 10000,
        "gating": "none",
        "norm": "layer_norm",
        "positional_embedding": "rope",
        "dim_feedforward": 32,
        "input_dimension": 16,
        "output_dimensions": [16],
    }
    return {
        "sample_rate": 24_000,
        "channels": 1,
        "frame_rate": 12.5,
        "seanet": seanet,
        "quantizer": {
            "dimension": 8,
            "n_q": 8,
            "bins": CARD,
            "input_dimension": 16,
            "output_dimension": 16,
        },
        "transformer": transformer,
    }


def tiny_mimi(seed: int = 0, *, context: int = 10) -> MimiModel:
    """Return a random Mimi of this size whose codes differ between sounds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mimi = get_mimi(None, mimi_config(context=context), num_codebooks=8)
        make_hearing(mimi)
    return mimi


def make_hearing(mimi: MimiModel) -> None:
    """Undo what the default initialisation loses in each layer, so that codes follow the sound."""
    for name, weights in mimi.named_parameters():
        if "coder.model" in name:
            weights.data.mul_(0.1 if name.endswith("bias") else 2.2)
    for module in mimi.modules():
        if isinstance(module, EuclideanCodebook):
            module.embedding_sum.normal_(std=0.3)


def force(
    step: MoshiStep,
    slot: int,
    *,
    text: int | None = None,
    audio: Sequence[int] | None = None,
    at_word: bool = False,
) -> None:
    """Force these tokens until the next call for the slot; None lets the model choose."""
    step.forced.set(slot, text, audio or [None] * step.weights.lm.dep_q, at_word=at_word)
