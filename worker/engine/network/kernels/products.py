"""A Triton kernel for the product of a weight and one or two rows, at the speed of memory.

What follows it in a feed-forward part is computed with it, a gate or a GELU.

One session's step is such products: what they take is the time to read the weights once. On an H200
cuBLAS read them at 3.1 to 3.9 TB/s of 4.3, with a second kernel for each sum of parts, and the
depformer's small ones at a third of that. Compiled and interpreted as `rings.py` says.
"""

# Kernels are Triton's language, which pyright takes for Python.
# pyright: basic, reportCallIssue=false, reportGeneralTypeIssues=false, reportArgumentType=false

import torch
import triton
import triton.language as tl

from worker.engine.network.kernels.layers import gated

MOST_ROWS = 2  # from three on cuBLAS reads the weights once, and this kernel as often as there are
SMALL = 2**23  # numbers of a weight whose rows are read in one piece, by a program for each
SMALL_PIECE, PIECE = 4096, 1024  # numbers of a row at a time
PIECE_ROWS = 4  # of a large weight, for one reading of x
WARP_BYTES = 2048  # of a weight that a warp reads at a time: four loads of 16 bytes in each thread


@triton.jit
def _part(at, i, K, EVEN: tl.constexpr):
    """Read a part of some rows of K numbers, from `at + i` on."""
    part = tl.load(at + i) if EVEN else tl.load(at + i, mask=i < K, other=0.0)
    return part.to(tl.float32)


@triton.jit
def _product(
    weight, x, out,
    N, K, ROWS: tl.constexpr, PART: tl.constexpr, EVEN: tl.constexpr, GATED: tl.constexpr,
    GELU: tl.constexpr,
):  # fmt: skip
    """Multiply some of a weight's N rows by a row of x.

    GATED: these give gates, each for what the row N further gives.
    """
    n = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    k, m = tl.arange(0, PART)[None, :], tl.program_id(1)
    at, further = weight + n.to(tl.int64) * K, weight + (n + N).to(tl.int64) * K
    sums, others = tl.zeros([ROWS, PART], tl.float32), tl.zeros([ROWS, PART], tl.float32)
    for i in tl.range(0, K, PART):
        w, value = _part(at, i + k, K, EVEN), _part(x + m * K, i + k, K, EVEN)
        if GATED:
            others += _part(further, i + k, K, EVEN) * value
        sums += w * value
    y = tl.sum(sums, 1, keep_dims=True).to(out.dtype.element_ty)
    if GATED:
        y = gated(y, tl.sum(others, 1, keep_dims=True).to(out.dtype.element_ty))
    if GELU:
        wide = y.to(tl.float32)
        y = (wide * 0.5 * (1.0 + tl.erf(wide * 0.7071067811865476))).to(y.dtype)
    tl.store(out + m * N + n, y)


def takes(weight: torch.Tensor, x: torch.Tensor) -> bool:
    """Return whether the kernel takes these: few rows, one after the other."""
    size, width = weight.shape
    return x.numel() <= MOST_ROWS * width and size % PIECE_ROWS == 0 and x.is_contiguous()


def product(weight: torch.Tensor, x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """Return x times the transposed weight `[N, K]`, summed in float32: `[…, K]` → `[…, N]`.

    All are contiguous, and N is a multiple of `PIECE_ROWS`.
    """
    y = x.new_empty((*x.shape[:-1], len(weight))) if out is None else out
    return _launch(weight, x, y)


def gelu_product(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the GELU of the product."""
    return _launch(weight, x, x.new_empty((*x.shape[:-1], len(weight))), gelu=True)


def gated_product(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return `layers.silu_gate` of the product with a weight `[2 * H, K]`: `[…, K]` → `[…, H]`."""
    return _launch(weight, x, x.new_empty((*x.shape[:-1], len(weight) // 2)), gated=True)


def _launch(
    weight: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    gated: bool = False,
    gelu: bool = False,
) -> torch.Tensor:
    """Run a program for some numbers of y: each reads a row of the weight, gated ones two."""
    halves = 2 if gated else 1
    size, width = weight.shape
    small = size * width < SMALL
    part = min(1 << (width - 1).bit_length(), SMALL_PIECE if small else PIECE)
    rows = 1 if small else PIECE_ROWS // halves
    _product[(size // halves // rows, x.numel() // width)](
        weight, x, y, size // halves, width, ROWS=rows, PART=part, EVEN=width % part == 0,
        GATED=gated, GELU=gelu,
        num_warps=max(1, halves * rows * part * weight.element_size() // WARP_BYTES),
    )  # fmt: skip
    return y
