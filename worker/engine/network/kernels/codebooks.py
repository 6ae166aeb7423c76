"""A Triton kernel for residual vector quantization: one launch for each codebook instead of five.

Programs read a piece of the codebook each, and agree on the nearest centroid by an atomic minimum.
The next codebook's programs begin with the residue. Distances are float32 sums, not torch's order.
Compiled and interpreted as `rings.py` says.
"""

# Kernels are Triton's language, which pyright takes for Python.
# pyright: basic, reportCallIssue=false, reportGeneralTypeIssues=false, reportArgumentType=false

import torch
import triton
import triton.language as tl

MOST_ROWS = 16  # each reads the codebook for itself: from some number on one product is faster
BLOCK = 16  # centroids of a program
_ID = tl.constexpr(0xFFFFFFFF)


@triton.jit(do_not_specialize=["n"])
def _nearest(
    rests, books, squares, found, CARD, C, n,
    FIRST: tl.constexpr, BLOCK: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """Find the centroid nearest to a row's residue; a program for each row and piece of the book.

    One number of distance and id: of equal distances the lower id is found.
    """
    row, rows = tl.program_id(1), tl.num_programs(1)
    i = tl.arange(0, N)
    ids = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    book = books + n * CARD * C
    at = ids[:, None] * C + i[None, :]
    centroids = tl.load(book + at, mask=(ids < CARD)[:, None] & (i < C)[None, :], other=0.0)
    square = tl.load(squares + n * CARD + ids, mask=ids < CARD, other=0.0)
    if FIRST:
        rest = tl.load(rests + row * C + i, mask=i < C, other=0.0)
    else:
        before = (n - 1) * rows + row
        code = tl.load(found + before) & _ID
        rest = tl.load(rests + before * C + i, mask=i < C, other=0.0)
        rest -= tl.load(book - CARD * C + code * C + i, mask=i < C, other=0.0)
        if tl.program_id(0) == 0:
            tl.store(rests + (n * rows + row) * C + i, rest, mask=i < C)
    far = square - 2.0 * tl.sum(centroids * rest[None, :], 1)
    bits = far.to(tl.int32, bitcast=True)
    order = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.int64) << 32
    order = tl.where(ids < CARD, order | ids, 0x7FFFFFFFFFFFFFFF)
    tl.atomic_min(found + n * rows + row, tl.min(order, 0))


def nearest(x: torch.Tensor, books: torch.Tensor, squares: torch.Tensor) -> torch.Tensor:
    """Return the codes `[K, B]` of float32 x `[B, C]`, for books `[K, card, C]` contiguous.

    `squares` `[K, card]` are the squared lengths of the centroids.
    """
    rows = len(x)
    count, card, size = books.shape
    rests = x.new_empty(count, rows, size)
    rests[0] = x
    found = torch.full((count, rows), torch.iinfo(torch.int64).max, device=x.device)
    for n in range(count):
        _nearest[(triton.cdiv(card, BLOCK), rows)](
            rests, books, squares, found, card, size, n,
            FIRST=n == 0, BLOCK=BLOCK, N=triton.next_power_of_2(size), num_warps=4,
        )  # fmt: skip
    return found.bitwise_and_(0xFFFFFFFF)
