"""Bytes of a model's weights and of what its slots remember, by its modules."""

import torch
from moshi.models.lm import LMModel
from moshi.modules.transformer import StreamingMultiheadAttention

from worker.engine.capacity import kv_frame_bytes

CODEC_STATE_BYTES = 4 * 2**20  # of a slot: convolutions' memory, tokens, sound, beside attention


def weights_bytes(model: torch.nn.Module) -> int:
    return sum(each.numel() * each.element_size() for each in model.parameters())


def frame_bytes(lm: LMModel, dtype: torch.dtype, *, int8: bool = False) -> int:
    """Return the bytes of a frame's keys and values in the language model."""
    sizes = len(lm.transformer.layers), lm.dim, _heads(lm), torch.finfo(dtype).bits // 8
    return kv_frame_bytes(*sizes, int8=int8)


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


def _heads(lm: LMModel) -> int:
    attention = next(
        each for each in lm.transformer.modules() if isinstance(each, StreamingMultiheadAttention)
    )
    return attention.num_heads
