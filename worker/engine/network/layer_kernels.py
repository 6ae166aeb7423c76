"""Triton kernels for what stands between a layer's products: one kernel each instead of two to ten.

A step of one session launched 2,443 kernels on an H200, most of them smaller than their launch
(docs/benchmarks.md): copies to float32 and back around each norm, sums, gates, and the arithmetic
of each draw. Results are torch's but for the order of float32 sums. Compiled and interpreted as
`ring_kernels.py` says.
"""

# Kernels are Triton's language, which pyright takes for Python.
# pyright: basic, reportCallIssue=false, reportGeneralTypeIssues=false, reportArgumentType=false

import torch
import triton
import triton.language as tl

NORM_WARPS = 8  # for rows of 4,096 numbers
GATE_BLOCK = 1024


@triton.jit
def _add_norm(
    x, y, scale, weight, bias, total, normed, C, eps,
    N: tl.constexpr, ADD: tl.constexpr, SCALE: tl.constexpr, CENTER: tl.constexpr,
):  # fmt: skip
    """Add a row of y to x, rounded as the model's type is, and norm the sum; a program per row."""
    i = tl.arange(0, N)
    here = i < C
    at = tl.program_id(0) * C + i
    row = tl.load(x + at, mask=here, other=0.0)
    if ADD:
        more = tl.load(y + at, mask=here, other=0.0).to(tl.float32)
        if SCALE:
            more = more * tl.load(scale + i, mask=here, other=0.0).to(tl.float32)
        row = (row.to(tl.float32) + more).to(x.dtype.element_ty)
        tl.store(total + at, row, mask=here)
    row = row.to(tl.float32)
    if CENTER:
        row = tl.where(here, row - tl.sum(row, 0) / C, 0.0)
    row = row * tl.rsqrt(tl.sum(row * row, 0) / C + eps)
    row = row * tl.load(weight + i, mask=here, other=0.0).to(tl.float32)
    if CENTER:
        row += tl.load(bias + i, mask=here, other=0.0).to(tl.float32)
    tl.store(normed + at, row.to(normed.dtype.element_ty), mask=here)


@triton.jit
def _silu_gate(projected, out, H, N: tl.constexpr):
    """Multiply silu of a row's first half by its second half; a program per row and block."""
    i = tl.program_id(1) * N + tl.arange(0, N)
    here = i < H
    at = projected + tl.program_id(0) * 2 * H + i
    gates = tl.load(at, mask=here, other=0.0).to(tl.float32)
    value = tl.load(at + H, mask=here, other=0.0).to(tl.float32)
    opened = (gates * tl.sigmoid(gates)).to(out.dtype.element_ty).to(tl.float32)
    tl.store(out + tl.program_id(0) * H + i, (opened * value).to(out.dtype.element_ty), mask=here)


@triton.jit
def _ordered(bits):
    """Turn a float32's bits into an int32 that is larger where the number is, and back."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def _pick(best, ids, cold, kept, chance, chance_step, out, K, N: tl.constexpr):
    """Rank a row's candidates; return the id at which the summed weights pass the row's chance."""
    row, i = tl.program_id(0), tl.arange(0, N)
    here = i < K
    # One number of score and id, so that a sort carries the id; of equal scores the lower id first.
    score = tl.load(best + row * K + i, mask=here, other=0.0).to(tl.float32)
    order = _ordered(score.to(tl.int32, bitcast=True)).to(tl.int64) << 32
    order = order | (0x7FFFFFFF - tl.load(ids + row * K + i, mask=here, other=0))
    order = tl.sort(tl.where(here, order, -0x7FFFFFFFFFFFFFFF), descending=True)
    token = 0x7FFFFFFF - (order & 0x7FFFFFFF)
    score = _ordered((order >> 32).to(tl.int32)).to(tl.float32, bitcast=True)
    score = tl.where(here, score, float("-inf"))
    weight = tl.exp((score - tl.max(score, 0)) * tl.load(cold + row))
    weight = weight * tl.load(kept + row * K + i, mask=here, other=0.0)
    upto = tl.cumsum(weight, 0)
    goal = tl.sum(weight, 0) * tl.load(chance + row * chance_step)
    rank = tl.sum(((upto <= goal) & here).to(tl.int32), 0)
    most = tl.sum(tl.load(kept + row * K + i, mask=here, other=0.0), 0).to(tl.int32)
    rank = tl.minimum(rank, most - 1)  # sums in another order may pass the last by a rounding
    tl.store(out + row, tl.sum(tl.where(i == rank, token, 0), 0))


def add_norm(
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    eps: float,
    scale: torch.Tensor | None,
    x: torch.Tensor,
    y: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x + scale * y, and its norm in x's type; x, y `[…, C]` contiguous.

    An RMS norm times `weight` `[C]`; with `bias` `[C]` a layer norm.
    """
    size = x.shape[-1]
    normed = torch.empty_like(x)
    total = x if y is None else torch.empty_like(x)
    _add_norm[(x.numel() // size,)](
        x, x if y is None else y, x if scale is None else scale, weight,
        x if bias is None else bias, total, normed, size, eps,
        N=triton.next_power_of_2(size), ADD=y is not None, SCALE=scale is not None,
        CENTER=bias is not None, num_warps=NORM_WARPS,
    )  # fmt: skip
    return total, normed


def silu_gate(projected: torch.Tensor) -> torch.Tensor:
    """Return silu of the first half times the second: `[…, 2 * H]` contiguous → `[…, H]`."""
    half = projected.shape[-1] // 2
    out = projected.new_empty((*projected.shape[:-1], half))
    grid = (out.numel() // half, triton.cdiv(half, GATE_BLOCK))
    _silu_gate[grid](projected, out, half, N=GATE_BLOCK)
    return out


def pick(
    best: torch.Tensor,
    ids: torch.Tensor,
    cold: torch.Tensor,
    kept: torch.Tensor,
    chance: torch.Tensor,
) -> torch.Tensor:
    """Draw `[B]` as `sampler.pick` does, from candidates in any order and of any float type.

    `chance` need not be contiguous.
    """
    rows, width = best.shape
    out = ids.new_empty(rows)
    _pick[(rows,)](
        best, ids, cold, kept, chance, chance.stride(0), out, width,
        N=triton.next_power_of_2(width),
    )  # fmt: skip
    return out
