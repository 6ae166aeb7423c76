"""Bytes of a model's weights and of what its slots remember, by its modules."""

import torch
from moshi.models.lm import LMModel
from moshi.modules.transformer import StreamingMultiheadAttention

from worker.engine.capacity import kv_frame_bytes
from worker.engine.network.unsupported import layers_of

CODEC_STATE_BYTES = 4 * 2**20  # of a slot: convolutions' memory, tokens, sound, beside attention


def weights_bytes(model: torch.nn.Module) -> int:
    return sum(each.numel() * each.element_size() for each in model.parameters())


def frame_bytes(lm: LMModel, dtype: torch.dtype, *, int8: bool = False) -> int:
    """Return the bytes of a frame's keys and values in the language model."""
    layers, number_bytes = layers_of(lm.transformer), torch.finfo(dtype).bits // 8
    heads = layers[0].self_attn.num_heads
    return kv_frame_bytes(len(layers), lm.dim, heads, number_bytes, int8=int8)


def attention_bytes(model: torch.nn.Module, dtype: torch.dtype) -> int:
    """Return the bytes of a slot's keys and values (moshi 0.2.13 transformer.py `RingKVCache`)."""
    return (
        sum(
            2 * (each.context or each.weights_per_step) * (each.embed_dim // each.kv_repeat)
            for each in model.modules()
            if isinstance(each, StreamingMultiheadAttention)
        )
        * torch.finfo(dtype).bits
        // 8
    )
