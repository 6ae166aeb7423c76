"""Triton kernels for one position of every row: append to the ring, attend to its filled part.

A ring is `[B, 2, H, R, D]`, keys and values, in the model's own type, or int8 with a float16 scale
for each slot, head and position `[B, 2, H, R]`. Both kernels read `length` `[B]`: how many places
of a row are filled, 0 for a row that does not run, which is then neither read nor written. Long
rings are split between programs where the batch is small, and combined (flash-decoding, Dao et al.
2023). Compiled at the first call, by Triton and a C compiler; with TRITON_INTERPRET=1 they run on a
CPU. Triton 3.6's interpreter multiplies bfloat16 wrongly: use float16 or float32 there.
"""

# Kernels are Triton's language, which pyright takes for Python.
# pyright: basic, reportCallIssue=false, reportGeneralTypeIssues=false, reportArgumentType=false

import torch
import triton
import triton.language as tl

LOG2_E = 1.4426950408889634
BLOCK_OWN, BLOCK_INT8 = 64, 128  # places that a program reads at a time: as many bytes
ATTEND_WARPS, ATTEND_STAGES = 4, 2  # the fastest on an H200 for int8 (docs/benchmarks.md)
PROGRAMS = 1024  # enough to fill a card of 132 multiprocessors several times
MOST_SPLITS = 16
SMALLEST_SCALE = 2.0**-20
TILE_ROWS = tl.constexpr(16)  # the least rows of a tensor-core product; one of them is used


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
    H, R, D: tl.constexpr, ROPE: tl.constexpr, INT8: tl.constexpr,
):  # fmt: skip
    """Rotate a head's query and key, store key and value; one program for each row and head."""
    row = tl.program_id(0)
    b = row // H
    half = tl.arange(0, D // 2)
    runs = tl.load(length + b) > 0
    q_at = projected + (b * 3 * H + row % H) * D
    k_at, v_at = q_at + H * D, q_at + 2 * H * D
    q_even = tl.load(q_at + 2 * half).to(tl.float32)
    q_odd = tl.load(q_at + 2 * half + 1).to(tl.float32)
    k_even = tl.load(k_at + 2 * half).to(tl.float32)
    k_odd = tl.load(k_at + 2 * half + 1).to(tl.float32)
    if ROPE:
        cos = tl.load(turn + b * D + 2 * half)
        sin = tl.load(turn + b * D + 2 * half + 1)
        q_even, q_odd = q_even * cos - q_odd * sin, q_even * sin + q_odd * cos
        k_even, k_odd = k_even * cos - k_odd * sin, k_even * sin + k_odd * cos
    out = rotated + row * D
    tl.store(out + 2 * half, q_even.to(rotated.dtype.element_ty))
    tl.store(out + 2 * half + 1, q_odd.to(rotated.dtype.element_ty))
    # int64: a ring has more than 2**31 numbers.
    k_place = (b.to(tl.int64) * 2 * H + row % H) * R + tl.load(place + b)
    v_place = k_place + H * R
    _store_pairs(kv + k_place * D, scales + k_place, k_even, k_odd, runs, half, INT8)
    v_even = tl.load(v_at + 2 * half).to(tl.float32)
    v_odd = tl.load(v_at + 2 * half + 1).to(tl.float32)
    _store_pairs(kv + v_place * D, scales + v_place, v_even, v_odd, runs, half, INT8)


@triton.jit
def _attend(
    q, kv, scales, length, out, maxima, sums,
    H, R, S, softmax_scale,
    D: tl.constexpr, N: tl.constexpr, INT8: tl.constexpr, WHOLE: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """Attend to one of S parts of a row's filled places; the whole softmax where S is 1."""
    row, s = tl.program_id(0), tl.program_id(1)
    b = row // H
    filled = tl.load(length + b)
    blocks = (filled + N - 1) // N
    share = (blocks + S - 1) // S * N
    begin = s * share
    end = tl.minimum(begin + share, filled)
    d, n, r = tl.arange(0, D), tl.arange(0, N), tl.arange(0, TILE_ROWS)
    query = tl.load(q + row * D + d)
    tile = tl.where(r[:, None] == 0, query[None, :], 0.0).to(query.dtype)
    k_first = (b.to(tl.int64) * 2 * H + row % H) * R
    v_first = k_first + H * R
    most = tl.full([TILE_ROWS], -1e30, tl.float32)
    total = tl.full([TILE_ROWS], 0.0, tl.float32)
    mixed = tl.full([TILE_ROWS, D], 0.0, tl.float32)
    for i in tl.range(begin, end, N, num_stages=STAGES):
        here = (i + n) < end
        k = tl.load(kv + (k_first + i + n)[:, None] * D + d[None, :], mask=here[:, None], other=0.0)
        score = tl.dot(tile, tl.trans(k.to(query.dtype))) * softmax_scale
        if INT8:
            k_scale = tl.load(scales + k_first + i + n, mask=here, other=0.0)
            score = score * k_scale.to(tl.float32)[None, :]
        score = tl.where(here[None, :], score, -1e30)
        higher = tl.maximum(most, tl.max(score, 1))
        weight = tl.exp2(score - higher[:, None])
        before = tl.exp2(most - higher)
        total = total * before + tl.sum(weight, 1)
        v = tl.load(kv + (v_first + i + n)[:, None] * D + d[None, :], mask=here[:, None], other=0.0)
        if INT8:
            v_scale = tl.load(scales + v_first + i + n, mask=here, other=0.0)
            weight = weight * v_scale.to(tl.float32)[None, :]
        mixed = mixed * before[:, None]
        mixed += tl.dot(weight.to(query.dtype), v.to(query.dtype))
        most = higher
    first = (r == 0)[:, None] & (d >= 0)[None, :]
    at = (row * S + s) * D + d[None, :] + 0 * r[:, None]
    if WHOLE:
        mixed = mixed / tl.where(total > 0, total, 1.0)[:, None]
        tl.store(out + at, mixed.to(out.dtype.element_ty), mask=first)
    else:
        tl.store(out + at, mixed, mask=first)
        tl.store(maxima + row * S + s + 0 * r, most, mask=r == 0)
        tl.store(sums + row * S + s + 0 * r, total, mask=r == 0)


@triton.jit
def _combine(parts, maxima, sums, out, S: tl.constexpr, D: tl.constexpr):
    """Weigh the parts of a row and head by their share of the whole softmax."""
    row = tl.program_id(0)
    s, d = tl.arange(0, S), tl.arange(0, D)
    most = tl.load(maxima + row * S + s)
    weight = tl.exp2(most - tl.max(most, 0))
    total = tl.sum(weight * tl.load(sums + row * S + s), 0)
    part = tl.load(parts + (row * S + s)[:, None] * D + d[None, :])
    mixed = tl.sum(weight[:, None] * part, 0) / tl.where(total > 0, total, 1.0)
    tl.store(out + row * D + d, mixed.to(out.dtype.element_ty))


def append(
    projected: torch.Tensor,
    turn: torch.Tensor | None,
    place: torch.Tensor,
    length: torch.Tensor,
    kv: torch.Tensor,
    scales: torch.Tensor | None,
) -> torch.Tensor:
    """Store keys and values at `place` `[B]` of the running rows; return the queries `[B, H, D]`.

    `projected` `[B, 3, H, D]` contiguous; `turn` `[B, D / 2, 2]` float32, cosine and sine of every
    pair, None: no rotation; `scales` None: a ring in the model's own type.
    """
    batch, _, heads, dim = projected.shape
    rotated = torch.empty((batch, heads, dim), dtype=projected.dtype, device=projected.device)
    _append[(batch * heads,)](
        projected, projected if turn is None else turn, place, length,
        kv, kv if scales is None else scales, rotated, heads, kv.shape[3],
        D=dim, ROPE=turn is not None, INT8=scales is not None, num_warps=1,
    )  # fmt: skip
    return rotated


def attend(
    q: torch.Tensor,
    length: torch.Tensor,
    kv: torch.Tensor,
    scales: torch.Tensor | None,
    splits: int | None = None,
) -> torch.Tensor:
    """Attend with `q` `[B, H, D]` to the first `length` places of each row; 0 where that is 0."""
    batch, heads, dim = q.shape
    ring = kv.shape[3]
    block = BLOCK_OWN if scales is None else BLOCK_INT8
    splits = splits or splits_for(batch * heads, ring, block)
    out = torch.empty_like(q)
    whole = splits == 1
    parts = out if whole else q.new_empty((batch, heads, splits, dim), dtype=torch.float32)
    maxima, sums = (out, out) if whole else parts.new_empty((2, batch, heads, splits)).unbind()
    _attend[(batch * heads, splits)](
        q, kv, kv if scales is None else scales, length, parts, maxima, sums,
        heads, ring, splits, LOG2_E / dim**0.5,
        D=dim, N=block, INT8=scales is not None, WHOLE=whole, STAGES=ATTEND_STAGES,
        num_warps=ATTEND_WARPS,
    )  # fmt: skip
    if not whole:
        _combine[(batch * heads,)](parts, maxima, sums, out, S=splits, D=dim, num_warps=1)
    return out


def splits_for(rows: int, ring: int, block: int) -> int:
    """How many programs share a row's ring: a power of two, 1 where the rows fill the card."""
    splits = 1
    while splits < MOST_SPLITS and splits * rows < PROGRAMS and splits * block < ring:
        splits *= 2
    return splits
