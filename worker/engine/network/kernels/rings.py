"""Triton kernels that prepare a step's positions and append them to a ring of keys and values.

A ring is `[B, 2, H, R, D]`, keys and values, in the model's own type, or int8 with a float16 scale
for each slot, head and position `[B, 2, H, R]`. `length` `[B]` says how many places of a row are
filled with this step's T positions, 0 for a row that does not run, which is then neither read
(`attention.py`) nor written. Compiled at the first call, by Triton and a C compiler; with
TRITON_INTERPRET=1 they run on a CPU. Triton 3.6's interpreter multiplies bfloat16 wrongly: use
float16 or float32 there.
"""

# Kernels are Triton's language, which pyright takes for Python.
# pyright: basic, reportCallIssue=false, reportGeneralTypeIssues=false, reportArgumentType=false

import torch
import triton
import triton.language as tl

from worker.engine.network.positions import LAP, Rope


@triton.jit
def _place(
    offset, exec_mask, freqs, laps, place, length, turn,
    R, HALF, T: tl.constexpr, N: tl.constexpr, ROPE: tl.constexpr, LAP: tl.constexpr,
):  # fmt: skip
    """Find where a row's T positions go, how many places they fill, and their rotations."""
    b = tl.program_id(0)
    seen = tl.load(offset + b)
    tl.store(place + b, seen % R)
    filled = tl.where(tl.load(exec_mask + b), tl.minimum(seen + T, R), 0)
    tl.store(length + b, filled.to(tl.int32))
    if ROPE:
        i = tl.arange(0, N)
        freq = tl.load(freqs + i, mask=i < HALF, other=0.0)
        lap = tl.load(laps + i, mask=i < HALF, other=0.0)
        for t in tl.static_range(T):
            whole = (seen + t) // LAP
            angle = whole.to(tl.float32) * lap + (seen + t - whole * LAP).to(tl.float32) * freq
            at = turn + ((b * T + t) * HALF + i) * 2
            tl.store(at, tl.cos(angle), mask=i < HALF)
            tl.store(at + 1, tl.sin(angle), mask=i < HALF)


@triton.jit
def _rounded(x):
    """Round to the nearest whole number, halves to the even one, as torch.round does."""
    return (x + 12582912.0) - 12582912.0  # 1.5 * 2**23 leaves a float32 no fraction


@triton.jit
def _store_pairs(at, scale_at, even, odd, runs, half, INT8: tl.constexpr):
    if INT8:
        most = tl.maximum(tl.max(tl.abs(even), 0), tl.max(tl.abs(odd), 0))
        scale = tl.maximum(most / 127.0, 9.5367431640625e-07).to(tl.float16)
        tl.store(scale_at, scale, mask=runs)
        step = scale.to(tl.float32)
        even = tl.minimum(tl.maximum(_rounded(even / step), -127.0), 127.0)
        odd = tl.minimum(tl.maximum(_rounded(odd / step), -127.0), 127.0)
    mask = runs & (half >= 0)
    tl.store(at + 2 * half, even.to(at.dtype.element_ty), mask=mask)
    tl.store(at + 2 * half + 1, odd.to(at.dtype.element_ty), mask=mask)


@triton.jit
def _append(
    projected, turn, place, length, kv, scales, rotated,
    H, R, D: tl.constexpr, T: tl.constexpr, ROPE: tl.constexpr, INT8: tl.constexpr,
):  # fmt: skip
    """Rotate a head's query and key, store key and value; a program per row, position and head."""
    row = tl.program_id(0)
    b, position, head = row // (H * T), row // H, row % H
    half = tl.arange(0, D // 2)
    runs = tl.load(length + b) > 0
    q_at = projected + (position * 3 * H + head) * D
    k_at, v_at = q_at + H * D, q_at + 2 * H * D
    q_even = tl.load(q_at + 2 * half).to(tl.float32)
    q_odd = tl.load(q_at + 2 * half + 1).to(tl.float32)
    k_even = tl.load(k_at + 2 * half).to(tl.float32)
    k_odd = tl.load(k_at + 2 * half + 1).to(tl.float32)
    if ROPE:
        cos = tl.load(turn + position * D + 2 * half)
        sin = tl.load(turn + position * D + 2 * half + 1)
        q_even, q_odd = q_even * cos - q_odd * sin, q_even * sin + q_odd * cos
        k_even, k_odd = k_even * cos - k_odd * sin, k_even * sin + k_odd * cos
    out = rotated + row * D
    tl.store(out + 2 * half, q_even.to(rotated.dtype.element_ty))
    tl.store(out + 2 * half + 1, q_odd.to(rotated.dtype.element_ty))
    # int64: a ring has more than 2**31 numbers.
    here = (tl.load(place + b) + position % T) % R
    k_place = (b.to(tl.int64) * 2 * H + head) * R + here
    v_place = k_place + H * R
    _store_pairs(kv + k_place * D, scales + k_place, k_even, k_odd, runs, half, INT8)
    v_even = tl.load(v_at + 2 * half).to(tl.float32)
    v_odd = tl.load(v_at + 2 * half + 1).to(tl.float32)
    _store_pairs(kv + v_place * D, scales + v_place, v_even, v_odd, runs, half, INT8)


def place(
    offset: torch.Tensor,
    exec_mask: torch.Tensor,
    rope: Rope | None,
    ring: int,
    frames: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return place `[B]`, length `[B]` int32 and turn `[B, T, D / 2, 2]` float32 of T positions.

    They begin at `offset` `[B]`; without `rope` nothing turns.
    """
    (batch,) = offset.shape
    places, length = torch.empty_like(offset), offset.new_empty(batch, dtype=torch.int32)
    half, turn = 1, None
    if rope is not None:
        half = rope[0].numel()
        turn = rope[0].new_empty((batch, frames, half, 2))
    _place[(batch,)](
        offset, exec_mask, *(rope or (offset, offset)), places, length,
        offset if turn is None else turn, ring, half,
        T=frames, N=triton.next_power_of_2(half), ROPE=rope is not None, LAP=LAP, num_warps=1,
    )  # fmt: skip
    return places, length, turn


def append(
    projected: torch.Tensor,
    turn: torch.Tensor | None,
    place: torch.Tensor,
    length: torch.Tensor,
    kv: torch.Tensor,
    scales: torch.Tensor | None,
) -> torch.Tensor:
    """Store keys and values from `place` `[B]` on in the running rows; return the queries.

    `projected` `[B, T, 3, H, D]` contiguous; `turn` `[B, T, D / 2, 2]` float32, cosine and sine of
    every pair, None: no rotation; `scales` None: a ring in the model's own type. The queries
    `[B, T, H, D]` are rotated.
    """
    batch, frames, _, heads, dim = projected.shape
    rotated = torch.empty(
        (batch, frames, heads, dim), dtype=projected.dtype, device=projected.device
    )
    _append[(batch * frames * heads,)](
        projected, projected if turn is None else turn, place, length,
        kv, kv if scales is None else scales, rotated, heads, kv.shape[3],
        D=dim, T=frames, ROPE=turn is not None, INT8=scales is not None, num_warps=1,
    )  # fmt: skip
    return rotated
