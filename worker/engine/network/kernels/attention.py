"""Triton kernels for attention of one step's positions to the filled part of their rows' rings.

Two ways, each the faster one for its type on an H200 (docs/benchmarks.md). Numbers of 16 bits go
through tensor cores. int8 and float32 are multiplied as float32: a tensor core would want each
byte converted and moved through shared memory, and 16 rows where there is one; here each thread
row keeps a softmax of its own, so that nothing is exchanged before the end.
Long rings are split between programs where the batch is small, and combined (flash-decoding, Dao
et al. 2023). Compiled and interpreted as `rings.py` says.
"""

# Kernels are Triton's language, which pyright takes for Python.
# ruff: noqa: RUF005  Triton's tuples are added, not unpacked.
# pyright: basic, reportCallIssue=false, reportGeneralTypeIssues=false, reportArgumentType=false

import torch
import triton
import triton.language as tl

LOG2_E = 1.4426950408889634
PROGRAMS = 1024  # enough to fill a card of 132 multiprocessors several times
MOST_SPLITS = 16
LEAST_BLOCKS = 3  # for each program of a split ring: fewer are read sooner than combined
DOT_BLOCK, DOT_WARPS, DOT_STAGES = 64, 4, 2  # places that a program reads at a time
TILE_ROWS = tl.constexpr(16)  # the least rows of a tensor-core product; one of them is used
LANES, MOST_LOADS, ROWS_WARPS = 8, 8, 2  # thread rows, and places of each at a time
LOADED_BYTES = 8192  # of keys at a time: what registers hold
# Four int8 in a register to four float32: 2**23 + the byte as unsigned is exact in a float32. The
# conversion instructions take a quarter of the rate, as long as reading a whole ring.
BYTES_TO_FLOATS = """{
.reg .b32 bytes;
xor.b32 bytes, $4, 0x80808080;
prmt.b32 $0, bytes, 0x4B000000, 0x7650;
prmt.b32 $1, bytes, 0x4B000000, 0x7651;
prmt.b32 $2, bytes, 0x4B000000, 0x7652;
prmt.b32 $3, bytes, 0x4B000000, 0x7653;
sub.f32 $0, $0, 0f4B000080;
sub.f32 $1, $1, 0f4B000080;
sub.f32 $2, $2, 0f4B000080;
sub.f32 $3, $3, 0f4B000080;
}"""


@triton.jit
def _part(filled, s, S, block):
    """Return the places that part s of S reads: the first, and the one after the last."""
    blocks = (filled + block - 1) // block
    share = (blocks + S - 1) // S * block
    return s * share, tl.minimum(s * share + share, filled)


@triton.jit
def _attend_dot(
    q, kv, length, out, maxima, sums,
    H, R, S, softmax_scale,
    D: tl.constexpr, N: tl.constexpr, WHOLE: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Attend to one of S parts of a row's filled places; the whole softmax where S is 1."""
    row, s = tl.program_id(0), tl.program_id(1)
    b = row // H
    begin, end = _part(tl.load(length + b), s, S, N)
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
        score = tl.dot(tile, tl.trans(k)) * softmax_scale
        score = tl.where(here[None, :], score, -1e30)
        higher = tl.maximum(most, tl.max(score, 1))
        weight = tl.exp2(score - higher[:, None])
        before = tl.exp2(most - higher)
        total = total * before + tl.sum(weight, 1)
        v = tl.load(kv + (v_first + i + n)[:, None] * D + d[None, :], mask=here[:, None], other=0.0)
        mixed = mixed * before[:, None]
        mixed += tl.dot(weight.to(v.dtype), v)
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
def _floats(x, TEXT: tl.constexpr):
    """Return x as float32, by TEXT where there is one."""
    if TEXT is None:
        return x.to(tl.float32)
    else:
        return tl.inline_asm_elementwise(
            TEXT, "=f,=f,=f,=f,r", [x], dtype=tl.float32, is_pure=True, pack=4
        )


@triton.jit
def _is_past(at, newest, position, R, T: tl.constexpr):
    """Return which places do not hold a position after this one in the same step."""
    ahead = at - newest
    ahead = tl.where(ahead < 0, ahead + R, ahead)
    return (ahead <= position) | (ahead >= T)


@triton.jit
def _attend_rows(
    q, kv, scales, place, length, out, maxima, sums,
    H, R, S, softmax_scale,
    D: tl.constexpr, T: tl.constexpr, N: tl.constexpr, U: tl.constexpr,
    INT8: tl.constexpr, WHOLE: tl.constexpr, TEXT: tl.constexpr,
):  # fmt: skip
    """Attend from one of T positions, with a softmax in each of N thread rows, U places at a time.

    A position does not see those after it in the same step. The order of the loop's lines decides
    how ptxas schedules the loads: measure when it changes.
    """
    row, s = tl.program_id(0), tl.program_id(1)
    b = row // (H * T)
    position, head = row // H % T, row % H
    begin, end = _part(tl.load(length + b), s, S, N * U)
    newest = tl.load(place + b).to(tl.int32)
    d, n = tl.arange(0, D)[None, :], tl.arange(0, N)[:, None]
    query = tl.load(q + row * D + d).to(tl.float32) * softmax_scale
    k_first = (b.to(tl.int64) * 2 * H + head) * R
    v_first = k_first + H * R
    most = tl.full([N, 1], -1e30, tl.float32)
    total = tl.full([N, 1], 0.0, tl.float32)
    mixed = tl.full([N, D], 0.0, tl.float32)
    for i in tl.range(begin, end, N * U, num_stages=1):
        seen, keys, values, key_scales, value_scales = (), (), (), (), ()
        for u in tl.static_range(U):  # all loads first, so that they are under way together
            at = i + u * N + n
            sees = at < end
            if T > 1:
                sees = sees & _is_past(at, newest, position, R, T)
            seen = seen + (sees,)
            keys = keys + (tl.load(kv + (k_first + at) * D + d, mask=sees, other=0),)
            if INT8:
                key_scales = key_scales + (tl.load(scales + k_first + at, mask=sees, other=0.0),)
        for u in tl.static_range(U):
            at = i + u * N + n
            values = values + (tl.load(kv + (v_first + at) * D + d, mask=seen[u], other=0),)
            if INT8:
                one = tl.load(scales + v_first + at, mask=seen[u], other=0.0)
                value_scales = value_scales + (one,)
        higher, scores = most, ()
        for u in tl.static_range(U):
            score = tl.sum(_floats(keys[u], TEXT) * query, 1, keep_dims=True)
            if INT8:
                score = score * key_scales[u].to(tl.float32)
            score = tl.where(seen[u], score, -1e30)
            higher = tl.maximum(higher, score)
            scores = scores + (score,)
        before = tl.exp2(most - higher)
        total = total * before
        mixed = mixed * before
        for u in tl.static_range(U):
            weight = tl.where(seen[u], tl.exp2(scores[u] - higher), 0.0)
            total += weight
            if INT8:
                weight = weight * value_scales[u].to(tl.float32)
            mixed += weight * _floats(values[u], TEXT)
        most = higher
    _store_rows(out, maxima, sums, row * S + s, most, total, mixed, D, WHOLE)


@triton.jit
def _store_rows(out, maxima, sums, at, most, total, mixed, D: tl.constexpr, WHOLE: tl.constexpr):
    """Store what the thread rows have mixed together, or their part of it."""
    highest = tl.max(tl.max(most, 1), 0)
    share = tl.exp2(most - highest)
    whole = tl.sum(tl.sum(total * share, 1), 0)
    y = tl.sum(mixed * share, 0)
    there = out + at * D + tl.arange(0, D)
    if WHOLE:
        y = y / tl.where(whole > 0, whole, 1.0)
        tl.store(there, y.to(out.dtype.element_ty))
    else:
        tl.store(there, y)
        tl.store(maxima + at, highest)
        tl.store(sums + at, whole)


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


@triton.jit
def _attend_last(qkv, out, B, H, J, softmax_scale, D: tl.constexpr, N: tl.constexpr):
    """Attend from the last of J positions to all of them; a program per row and head."""
    row = tl.program_id(0)
    j, d = tl.arange(0, N)[:, None], tl.arange(0, D)[None, :]
    at = qkv + ((j * B + row // H) * 3 * H + row % H) * D + d
    last = qkv + (((J - 1) * B + row // H) * 3 * H + row % H) * D + d
    query = tl.load(last).to(tl.float32) * softmax_scale
    keys = tl.load(at + H * D, mask=j < J, other=0.0).to(tl.float32)
    values = tl.load(at + 2 * H * D, mask=j < J, other=0.0).to(tl.float32)
    score = tl.where(j < J, tl.sum(keys * query, 1, keep_dims=True), -1e30)
    weight = tl.where(j < J, tl.exp2(score - tl.max(score, 0, keep_dims=True)), 0.0)
    y = tl.sum(weight * values, 0) / tl.sum(tl.sum(weight, 1), 0)
    tl.store(out + row * D + tl.arange(0, D), y.to(out.dtype.element_ty))


def attend_last(qkv: torch.Tensor, positions: int) -> torch.Tensor:
    """Attend from the last of the first positions to these: `[J, B, 3, H, D]` → `[B, H * D]`."""
    most, batch, _, heads, dim = qkv.shape
    out = qkv.new_empty((batch, heads * dim))
    _attend_last[(batch * heads,)](
        qkv, out, batch, heads, positions, LOG2_E / dim**0.5,
        D=dim, N=triton.next_power_of_2(most), num_warps=1,
    )  # fmt: skip
    return out


def attend(
    q: torch.Tensor,
    place: torch.Tensor,
    length: torch.Tensor,
    kv: torch.Tensor,
    scales: torch.Tensor | None,
    splits: int | None = None,
) -> torch.Tensor:
    """Attend with `q` `[B, T, H, D]` to the first `length` places of each row; 0 where that is 0.

    The T newest positions begin at `place` `[B]`.
    """
    batch, frames, heads, dim = q.shape
    rows, ring = batch * frames * heads, kv.shape[3]
    by_dot = frames == 1 and kv.element_size() == 2
    several = max(1, min(MOST_LOADS, LOADED_BYTES // (LANES * dim * kv.element_size())))
    block = DOT_BLOCK if by_dot else LANES * several
    splits = splits or splits_for(rows, ring, block)
    out = torch.empty_like(q)
    whole = splits == 1
    parts = out if whole else q.new_empty((rows, splits, dim), dtype=torch.float32)
    maxima, sums = (out, out) if whole else parts.new_empty((2, rows, splits)).unbind()
    sizes = (heads, ring, splits, LOG2_E / dim**0.5)
    if by_dot:
        _attend_dot[(rows, splits)](
            q, kv, length, parts, maxima, sums, *sizes,
            D=dim, N=block, WHOLE=whole, STAGES=DOT_STAGES, num_warps=DOT_WARPS,
        )  # fmt: skip
    else:
        packed = scales is not None and q.is_cuda
        _attend_rows[(rows, splits)](
            q, kv, kv if scales is None else scales, place, length, parts, maxima, sums, *sizes,
            D=dim, T=frames, N=LANES, U=several, INT8=scales is not None, WHOLE=whole,
            TEXT=BYTES_TO_FLOATS if packed else None, num_warps=ROWS_WARPS,
        )  # fmt: skip
    if not whole:
        _combine[(rows,)](parts, maxima, sums, out, S=splits, D=dim, num_warps=1)
    return out


def splits_for(rows: int, ring: int, block: int) -> int:
    """How many programs share a row's ring: a power of two, 1 where the rows fill the card."""
    splits = 1
    while (
        splits < MOST_SPLITS and splits * rows < PROGRAMS and splits * block * LEAST_BLOCKS < ring
    ):
        splits *= 2
    return splits
