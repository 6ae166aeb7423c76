"""Triton kernels for what stands between a layer's products: one kernel each instead of two to ten.

A step of one session launched 2,443 kernels on an H200, most of them smaller than their launch
(docs/benchmarks.md): copies to float32 and back around each norm, sums, and gates. Results are
torch's but for the order of float32 sums. Compiled and interpreted as `rings.py` says.
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
    x, x_step, y, index, scale, weight, bias, total, normed, C, eps,
    N: tl.constexpr, ADD: tl.constexpr, LOOK: tl.constexpr, SCALE: tl.constexpr,
    CENTER: tl.constexpr,
):  # fmt: skip
    """Add a row of y to x, rounded as the model's type is, and norm the sum; a program per row."""
    n, i = tl.program_id(0), tl.arange(0, N)
    here = i < C
    at = n * C + i
    row = tl.load(x + n * x_step + i, mask=here, other=0.0)
    if ADD:
        y += tl.load(index + n) * C if LOOK else n * C
        more = tl.load(y + i, mask=here, other=0.0).to(tl.float32)
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
def gated(gate, value):
    """Multiply silu of a gate by a value of the same type, rounded as torch rounds both."""
    gate = gate.to(tl.float32)
    opened = (gate * tl.sigmoid(gate)).to(value.dtype)
    return (opened.to(tl.float32) * value.to(tl.float32)).to(value.dtype)


@triton.jit
def _silu_gate(projected, out, H, N: tl.constexpr):
    """Multiply silu of a row's first half by its second half; a program per row and block."""
    i = tl.program_id(1) * N + tl.arange(0, N)
    here = i < H
    at = projected + tl.program_id(0) * 2 * H + i
    y = gated(tl.load(at, mask=here, other=0.0), tl.load(at + H, mask=here, other=0.0))
    tl.store(out + tl.program_id(0) * H + i, y, mask=here)


def add_norm(
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    eps: float,
    scale: torch.Tensor | None,
    x: torch.Tensor,
    y: torch.Tensor | None,
    index: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x + scale * y, and its norm in x's type; x, y `[…, C]` contiguous.

    An RMS norm times `weight` `[C]`; with `bias` `[C]` a layer norm. Rows of x `[B, C]` may be
    apart. With an `index` `[B]` y is a table `[…, C]` of which these rows are added.
    """
    size = x.shape[-1]
    normed = x.new_empty(x.shape)
    total = x if y is None else x.new_empty(x.shape)
    _add_norm[(x.numel() // size,)](
        x, x.stride(0) if x.ndim == 2 else size, x if y is None else y,
        x if index is None else index, x if scale is None else scale, weight,
        x if bias is None else bias, total, normed, size, eps,
        N=triton.next_power_of_2(size), ADD=y is not None, LOOK=index is not None,
        SCALE=scale is not None, CENTER=bias is not None, num_warps=NORM_WARPS,
    )  # fmt: skip
    return total, normed


def silu_gate(projected: torch.Tensor) -> torch.Tensor:
    """Return silu of the first half times the second: `[…, 2 * H]` contiguous → `[…, H]`."""
    half = projected.shape[-1] // 2
    out = projected.new_empty((*projected.shape[:-1], half))
    grid = (out.numel() // half, triton.cdiv(half, GATE_BLOCK))
    _silu_gate[grid](projected, out, half, N=GATE_BLOCK)
    return out
