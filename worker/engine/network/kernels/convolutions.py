"""Triton kernels around Mimi's convolutions: what stands between two of them is one kernel.

Tensors are `[B, C, T]` whose channels lie side by side in memory, as cuDNN's TF32 convolutions read
them; otherwise it turns input, weights and output around in every call. Histories of rows are
`[B, C, kept]` and contiguous. A history is read and written by one program alone: another might
run before or after it. Compiled and interpreted as `rings.py` says.
"""

# Kernels are Triton's language, which pyright takes for Python.
# pyright: basic, reportCallIssue=false, reportGeneralTypeIssues=false, reportArgumentType=false

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

TILE = 1024  # numbers of a program
BLOCK_C = 64  # channels of a program, where it need not look at all
MOMENTS = 32  # of a program that convolves
MOST_CHANNELS = 128  # of a convolution from or to one channel


@dataclass(frozen=True, slots=True)
class Sum:
    """x + more + bias, not added yet: whoever reads it adds. x, more `[B, C, T]`, bias `[C]`."""

    x: torch.Tensor
    bias: torch.Tensor | None = None
    more: torch.Tensor | None = None

    @property
    def pointers(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """x, more and bias for a kernel, x in place of what is not there."""
        more = self.x if self.more is None else self.more
        return self.x, more, self.x if self.bias is None else self.bias

    @property
    def flags(self) -> dict[str, bool]:
        """Which of them a kernel is to read."""
        return {"BIAS": self.bias is not None, "MORE": self.more is not None}


@triton.jit
def _read(
    x, more, bias, t, c, T, C, x_c, x_t, m_c, m_t,
    BIAS: tl.constexpr, MORE: tl.constexpr, ELU: tl.constexpr,
):  # fmt: skip
    """Return a row's sum at t `[N, 1]` and c `[1, N]`, zero where there is none."""
    here = (t >= 0) & (t < T) & (c < C)
    value = tl.load(x + t * x_t + c * x_c, mask=here, other=0.0).to(tl.float32)
    if MORE:
        value += tl.load(more + t * m_t + c * m_c, mask=here, other=0.0).to(tl.float32)
    if BIAS:
        value += tl.load(bias + c, mask=c < C, other=0.0).to(tl.float32)
    if ELU:
        # No minimum in the exponent: it would hide a NaN, which a session must show.
        value = tl.where(value > 0, value, tl.exp(value) - 1.0)
    return value


@triton.jit
def _keep(
    x, more, bias, previous, begins, runs, c, T, C, kept, x_c, x_t, m_c, m_t,
    BIAS: tl.constexpr, MORE: tl.constexpr, ELU: tl.constexpr, FIRST: tl.constexpr,
    KEPT: tl.constexpr,
):  # fmt: skip
    """Keep the end of what a row has seen, where it runs; return what was kept `[KEPT, N]`."""
    k = tl.arange(0, KEPT)[:, None]
    at = previous + c * kept + k
    here = (k < kept) & (c < C)
    old = tl.load(at, mask=here, other=0.0)
    older = tl.load(at + T, mask=here & (k + T < kept), other=0.0)
    if FIRST:
        head = _read(x, more, bias, k * 0, c, T, C, x_c, x_t, m_c, m_t, BIAS, MORE, ELU)
        old, older = tl.where(begins, head, old), tl.where(begins, head, older)
    ended = T - kept + k
    new = _read(x, more, bias, ended, c, T, C, x_c, x_t, m_c, m_t, BIAS, MORE, ELU)
    tl.debug_barrier()  # all threads have read what some now write
    tl.store(at, tl.where(ended < 0, older, new), mask=here & runs)
    return old


@triton.jit
def _join(
    x, more, bias, previous, first, exec_mask, out,
    T, C, kept, x_b, x_c, x_t, m_b, m_c, m_t,
    BIAS: tl.constexpr, MORE: tl.constexpr, ELU: tl.constexpr, FIRST: tl.constexpr,
    KEPT: tl.constexpr, N_T: tl.constexpr, N_C: tl.constexpr,
):  # fmt: skip
    """Write what is kept of a row and the row's sum behind it; a program per block and row."""
    b = tl.program_id(2).to(tl.int64)
    t = tl.program_id(0) * N_T + tl.arange(0, N_T)[:, None]
    c = tl.program_id(1) * N_C + tl.arange(0, N_C)[None, :]
    x, more, out = x + b * x_b, more + b * m_b, out + b * (kept + T) * C
    value = _read(x, more, bias, t, c, T, C, x_c, x_t, m_c, m_t, BIAS, MORE, ELU)
    tl.store(out + (kept + t) * C + c, value, mask=(t < T) & (c < C))
    if KEPT > 0:  # noqa: SIM102 - nothing is compiled for no history
        if tl.program_id(0) == 0:
            begins, runs = False, tl.load(exec_mask + b) != 0
            if FIRST:
                begins = tl.load(first + b) != 0
            old = _keep(
                x, more, bias, previous + b * C * kept, begins, runs, c, T, C, kept,
                x_c, x_t, m_c, m_t, BIAS, MORE, ELU, FIRST, KEPT,
            )  # fmt: skip
            k = tl.arange(0, KEPT)[:, None]
            tl.store(out + k * C + c, old, mask=(k < kept) & (c < C))
            if FIRST:
                tl.store(first + b, (begins & (runs == 0)).to(tl.int8))


@triton.jit
def _from_one(
    x, previous, weight, bias, exec_mask, out,
    T, W, C, kept, x_b, x_t, stride, dilation,
    BIAS: tl.constexpr, KEPT: tl.constexpr, K: tl.constexpr, N_T: tl.constexpr, N_C: tl.constexpr,
):  # fmt: skip
    """Convolve one channel to C; a program per block of outputs and row."""
    b = tl.program_id(1).to(tl.int64)
    w, c = tl.program_id(0) * N_T + tl.arange(0, N_T), tl.arange(0, N_C)
    x, previous = x + b * x_b, previous + b * kept
    total = tl.zeros([N_T, N_C], tl.float32)
    if BIAS:
        total += tl.load(bias + c, mask=c < C, other=0.0)[None, :]
    for k in tl.static_range(K):
        t = w * stride + k * dilation - kept
        if tl.program_id(0) == 0:
            at = tl.where(t < 0, previous + kept + t, x + t * x_t)
        else:
            at = x + t * x_t
        seen = tl.load(at, mask=w < W, other=0.0)
        total += seen[:, None] * tl.load(weight + c * K + k, mask=c < C, other=0.0)[None, :]
    at = out + (b * W + w[:, None]) * C + c[None, :]
    tl.store(at, total, mask=(w < W)[:, None] & (c < C)[None, :])
    if KEPT > 0:  # noqa: SIM102 - nothing is compiled for no history
        if tl.program_id(0) == 0:
            runs = tl.load(exec_mask + b) != 0
            only = tl.arange(0, 1)[None, :]
            _keep(
                x, x, x, previous, False, runs, only, T, 1, kept, 0, x_t, 0, 0,
                False, False, False, False, KEPT,
            )  # fmt: skip


@triton.jit
def _to_one(
    x, more, bias, previous, weight, own_bias, exec_mask, out,
    T, W, C, kept, x_b, x_c, x_t, m_b, m_c, m_t, stride, dilation,
    BIAS: tl.constexpr, MORE: tl.constexpr, ELU: tl.constexpr, OWN: tl.constexpr,
    KEPT: tl.constexpr, K: tl.constexpr, N_T: tl.constexpr, N_C: tl.constexpr,
):  # fmt: skip
    """Convolve C channels of a row's sum to one; a program per block of outputs and row."""
    b = tl.program_id(1).to(tl.int64)
    w, c = tl.program_id(0) * N_T + tl.arange(0, N_T), tl.arange(0, N_C)[None, :]
    x, more, previous = x + b * x_b, more + b * m_b, previous + b * C * kept
    total = tl.zeros([N_T], tl.float32)
    if OWN:
        total += tl.load(own_bias)
    for k in tl.static_range(K):
        t = (w * stride + k * dilation - kept)[:, None]
        seen = _read(x, more, bias, t, c, T, C, x_c, x_t, m_c, m_t, BIAS, MORE, ELU)
        if tl.program_id(0) == 0:
            old = tl.load(previous + c * kept + kept + t, mask=(t < 0) & (c < C), other=0.0)
            seen = tl.where(t < 0, old, seen)
        total += tl.sum(seen * tl.load(weight + c * K + k, mask=c < C, other=0.0), 1)
    tl.store(out + b * W + w, total, mask=w < W)
    if KEPT > 0:  # noqa: SIM102 - nothing is compiled for no history
        if tl.program_id(0) == 0:
            runs = tl.load(exec_mask + b) != 0
            _keep(
                x, more, bias, previous, False, runs, c, T, C, kept, x_c, x_t, m_c, m_t,
                BIAS, MORE, ELU, False, KEPT,
            )  # fmt: skip


@triton.jit
def _overlap(
    y, partial, exec_mask, T, C, kept, y_b, y_c, y_t, KEPT: tl.constexpr, N_C: tl.constexpr
):  # fmt: skip
    """Add what is kept of a row to its beginning, and keep its end; a program per block and row."""
    b = tl.program_id(1).to(tl.int64)
    k = tl.arange(0, KEPT)[:, None]
    c = tl.program_id(0) * N_C + tl.arange(0, N_C)[None, :]
    here = (k < kept) & (c < C)
    y_at = y + b * y_b + c * y_c + k * y_t
    at = partial + (b * C + c) * kept + k
    begin = tl.load(y_at, mask=here, other=0.0) + tl.load(at, mask=here, other=0.0)
    end = tl.load(y_at + T * y_t, mask=here, other=0.0)
    end += tl.load(at + T, mask=here & (k + T < kept), other=0.0)
    tl.debug_barrier()  # all threads have read what some now write
    tl.store(y_at, begin, mask=here & (k < T))
    tl.store(at, end, mask=here & (tl.load(exec_mask + b) != 0))


def join(
    total: Sum,
    *,
    elu: bool = False,
    previous: torch.Tensor | None = None,
    first: torch.Tensor | None = None,
    exec_mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return `[B, C, kept + T]`: what is kept, then the sum or its ELU, whose end is kept next.

    Only the rows of `exec_mask` keep it. The rows of `first` begin with their first value instead
    of what is kept.
    """
    x, more, bias = total.pointers
    batch, channels, frames = x.shape
    kept = 0 if previous is None else previous.shape[2]
    out = x.new_empty(batch, kept + frames, channels).transpose(1, 2)
    # One program alone may clear the mark of a row's first frame.
    n_c = triton.next_power_of_2(channels if first is not None else min(channels, BLOCK_C))
    n_t = min(triton.next_power_of_2(frames), max(1, TILE // n_c))
    _join[(triton.cdiv(frames, n_t), triton.cdiv(channels, n_c), batch)](
        x, more, bias, x if previous is None else previous,
        x if first is None else _bytes(first), x if exec_mask is None else _bytes(exec_mask), out,
        frames, channels, kept, *x.stride(), *more.stride(),
        **total.flags, ELU=elu, FIRST=first is not None, KEPT=_padded(kept), N_T=n_t, N_C=n_c,
    )  # fmt: skip
    return out


def from_one(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: int,
    dilation: int,
    previous: torch.Tensor,
    exec_mask: torch.Tensor,
) -> torch.Tensor:
    """Convolve one channel behind what is kept of it: x `[B, 1, T]`, weight `[C, 1, taps]`."""
    batch, _, frames = x.shape
    channels, _, taps = weight.shape
    kept, windows = previous.shape[2], frames // stride
    out = x.new_empty(batch, windows, channels).transpose(1, 2)
    _from_one[(triton.cdiv(windows, MOMENTS), batch)](
        x, previous, weight, x if bias is None else bias, _bytes(exec_mask), out,
        frames, windows, channels, kept, x.stride(0), x.stride(2), stride, dilation,
        BIAS=bias is not None, KEPT=_padded(kept), K=taps, N_T=MOMENTS,
        N_C=triton.next_power_of_2(channels),
    )  # fmt: skip
    return out


def to_one(
    total: Sum,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: int,
    dilation: int,
    previous: torch.Tensor,
    exec_mask: torch.Tensor,
    *,
    elu: bool,
) -> torch.Tensor:
    """Convolve to one channel, behind what is kept: x `[B, C, T]`, weight `[1, C, taps]`."""
    x, more, sum_bias = total.pointers
    batch, channels, frames = x.shape
    kept, windows = previous.shape[2], frames // stride
    out = x.new_empty(batch, 1, windows)
    _to_one[(triton.cdiv(windows, MOMENTS), batch)](
        x, more, sum_bias, previous, weight,
        x if bias is None else bias, _bytes(exec_mask), out,
        frames, windows, channels, kept, *x.stride(), *more.stride(), stride, dilation,
        **total.flags, ELU=elu, OWN=bias is not None, KEPT=_padded(kept), K=weight.shape[2],
        N_T=MOMENTS, N_C=triton.next_power_of_2(channels),
    )  # fmt: skip
    return out


def overlap(y: torch.Tensor, partial: torch.Tensor, exec_mask: torch.Tensor) -> torch.Tensor:
    """Add what is kept `[B, C, kept]` to y's beginning, in place; return y without its end.

    The rows of `exec_mask` keep that end.
    """
    batch, channels, samples = y.shape
    kept = partial.shape[2]
    n_c = triton.next_power_of_2(min(channels, BLOCK_C))
    _overlap[(triton.cdiv(channels, n_c), batch)](
        y, partial, _bytes(exec_mask), samples - kept, channels, kept, *y.stride(),
        KEPT=triton.next_power_of_2(kept), N_C=n_c,
    )  # fmt: skip
    return y[..., :-kept]


def _padded(kept: int) -> int:
    """Return the samples of a history that a program reads; 0 where there is none."""
    return 1 << (kept - 1).bit_length() if kept else 0


def _bytes(mask: torch.Tensor) -> torch.Tensor:
    return mask.view(torch.int8)
