"""A layer's ring of keys and values: stored in the model's own type or as int8, read by attention.

int8 has a float16 scale for each slot, head and position: the largest of a key's or value's numbers
over 127. Keys are stored after their rotation. On CUDA a step's positions go through the Triton
kernels of `rings.py` and `attention.py`, which read what is filled; everything else
through torch, which reads the ring whole. Engine thread only.
"""

import torch
from torch.nn import functional as F

from worker.engine.kv_choice import KvMemory
from worker.engine.network.memory import Rows
from worker.engine.network.positions import Filled, Positions

SMALLEST_SCALE = 2.0**-20  # of an int8 number: no division by 0, and a float16 holds it


class KvRing:
    """The ring of one layer, for the first rows of a memory."""

    def __init__(
        self,
        rows: Rows,
        name: str,
        heads: int,
        ring: int,
        head_dim: int,
        dtype: torch.dtype,
        stored: KvMemory,
    ) -> None:
        shape = (2, heads, ring)
        kept = torch.int8 if stored.int8 else dtype
        self._heads, self._dtype = heads, dtype
        self._kv = rows.take(f"{name}.kv", *shape, head_dim, dtype=kept, frames_dim=2)
        self._scales: torch.Tensor | None = None  # [B, 2, H, ring]
        if stored.int8:
            self._scales = rows.take(f"{name}.kv_scale", *shape, dtype=torch.float16, frames_dim=2)

    def __call__(self, projected: torch.Tensor, positions: Positions | Filled) -> torch.Tensor:
        """Store keys and values and attend: `[B, T, 3 * C]` (query, key, value) → `[B, T, C]`."""
        batch, frames, _ = projected.shape
        heads = projected.view(batch, frames, 3, self._heads, -1)
        if isinstance(positions, Filled):
            return self._run_kernels(heads, positions)
        heads = rotate(heads.permute(0, 2, 3, 1, 4), positions.turn)  # [B, 3, H, T, D]
        self._store(positions.index, heads[:, 1:])
        y = F.scaled_dot_product_attention(
            heads[:, 0], self._read(0), self._read(1), positions.bias
        )
        return y.transpose(1, 2).reshape(batch, frames, -1)

    def _run_kernels(self, heads: torch.Tensor, filled: Filled) -> torch.Tensor:
        from worker.engine.network.kernels import attention, rings

        places, ring = (filled.place, filled.length), (self._kv, self._scales)
        q = rings.append(heads, filled.turn, *places, *ring)
        return attention.attend(q, *places, *ring).flatten(2)

    def _store(self, index: torch.Tensor, x: torch.Tensor) -> None:
        """Write keys and values `[B, 2, H, T, D]`."""
        if self._scales is not None:
            x, scale = quantize(x)
            self._scales.scatter_(3, index[..., 0], scale)
        self._kv.scatter_(3, index, x)

    def _read(self, which: int) -> torch.Tensor:
        """Return all keys (0) or values (1) `[B, H, ring, D]` in the model's type."""
        kept = self._kv[:, which]
        if self._scales is None:
            return kept
        return dequantize(kept, self._scales[:, which]).to(self._dtype)


def rotate(heads: torch.Tensor, turn: torch.Tensor | None) -> torch.Tensor:
    """Rotary embedding of `[B, 3, H, T, D]`, neighbouring numbers as pairs, in float32.

    A value's turn is 1, which leaves it bit for bit: so all go through one operation.
    """
    if turn is None:
        return heads
    pairs = torch.view_as_complex(heads.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn).flatten(-2).to(heads.dtype)


def quantize(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `[…, D]` as int8, and the scale `[…]` float16 of each vector."""
    x = x.float()
    scale = (x.abs().amax(dim=-1) / 127).clamp(min=SMALLEST_SCALE).half()
    return (x / scale.float()[..., None]).round().clamp(-127, 127).to(torch.int8), scale


def dequantize(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return x.float() * scale.float()[..., None]
