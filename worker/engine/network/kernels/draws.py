"""Triton kernels for the draws: from a row of logits to its token, one kernel instead of twenty.

A step of one session launched 1,595 kernels on an H200 (docs/benchmarks.md), some 220 of them to
draw nine tokens. A draw has torch's distribution and `sampler.py`'s random numbers, but where torch
adds up weights from the best candidate on, a kernel adds them up by id: no sort, yet the same
random number gives another token of the distribution. Greedy draws are the same.
Compiled and interpreted as `rings.py` says.
"""

# Kernels are Triton's language, which pyright takes for Python.
# pyright: basic, reportCallIssue=false, reportGeneralTypeIssues=false, reportArgumentType=false

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import triton
import triton.language as tl

from worker.engine.network.depformer import ALWAYS, AT_WORD, ForcedTokens
from worker.engine.network.sampler import GOLDEN, DrawnText, SamplingState, Widths

MOST_WIDTH = 256  # as many weights of at most UNIT fit into an int32
UNIT = tl.constexpr(4194304.0)  # 2**22
TILE = 8192  # ids that are added up at a time
NUMBERS = 512  # that a warp holds
ZERO_BITS = {torch.bfloat16: 16, torch.float16: 13, torch.float32: 0}  # at a float32's end

_GOLDEN = tl.constexpr(GOLDEN)
_ALWAYS, _AT_WORD = tl.constexpr(ALWAYS), tl.constexpr(AT_WORD)


@triton.jit
def _scramble(number):
    """Mix the bits of a uint32 as `sampler.scramble` does."""
    number = number ^ (number >> 16)
    number = number * 0x7FEB352D
    number = number ^ (number >> 15)
    number = number * 0x846CA68B
    return number ^ (number >> 16)


@triton.jit
def _chance(seed, frame, stream):
    """Return the random number of a draw: `Sampler.draws`'s chance times 2**24, half a turn on.

    Seed 0 begins with a chance of 0: by torch the best text token, here the lowest id of all.
    """
    key = _scramble(_scramble(seed.to(tl.uint32)) ^ frame.to(tl.uint32))
    return (_scramble(key ^ (stream.to(tl.uint32) * _GOLDEN)) >> 8) ^ 0x800000


@triton.jit
def _scores(logits, first, card, N: tl.constexpr):
    """Read N of a row's logits; beyond the row they are -inf."""
    i = first + tl.arange(0, N)
    return tl.load(logits + i, mask=i < card, other=float("-inf")).to(tl.float32)


@triton.jit
def _ordered(score, ZEROS: tl.constexpr):
    """Turn scores into whole numbers of the same order; 0 is below them all. -0.0 counts as 0.0."""
    bits = (score + 0.0).to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) | -0x80000000)).to(tl.uint32, bitcast=True) >> ZEROS


@triton.jit
def _weight(score, best, cold):
    """Return weights as whole numbers: their sums are exact, in any order."""
    return (tl.exp((score - best) * cold) * UNIT + 0.5).to(tl.int32)


@triton.jit
def _piece(logits, first, best, cold, card, TILE: tl.constexpr, ZEROS: tl.constexpr):
    """Return ids from `first` on, their scores as whole numbers, and their weights."""
    i = first + tl.arange(0, TILE)
    score = _scores(logits, first, card, TILE)
    key = tl.where(i < card, _ordered(score, ZEROS), 0)
    return i, key, _weight(score, best, cold)


@triton.jit
def _token(
    logits, card, temperature, top_k, width, chance,
    N: tl.constexpr, TILE: tl.constexpr, ZEROS: tl.constexpr,
):  # fmt: skip
    """Draw from a row: find its top-k's least score, then the id at which the sum passes the goal.

    Of candidates with that least score, the lower ids belong to the top-k.
    """
    warm = temperature > 0
    k = tl.where(warm, tl.minimum(tl.maximum(top_k, 1), width), 1).to(tl.int32)
    cold = 1.0 / tl.where(warm, temperature, 1.0)
    score = _scores(logits, 0, card, N)
    best = tl.max(score, 0)
    key = tl.where(tl.arange(0, N) < card, _ordered(score, ZEROS), 0)
    least = tl.zeros((), tl.uint32)
    for n in range(32 - ZEROS):  # bit by bit, the largest number that k candidates reach
        more = least | (tl.full((), 1, tl.uint32) << (31 - ZEROS - n))
        least = tl.where(tl.sum((key >= more).to(tl.int32), 0) >= k, more, least)
    equals = k - tl.sum((key > least).to(tl.int32), 0)  # that belong to the top-k
    # Now in pieces, as registers hold a row of text logits just once.
    equal = tl.zeros((), tl.int32)  # the weight of each of them
    whole = tl.zeros((), tl.int32)
    for first in range(0, N, TILE):
        i, keys, weight = _piece(logits, first, best, cold, card, TILE, ZEROS)
        equal = tl.maximum(equal, tl.max(tl.where(keys == least, weight, 0), 0))
        whole += tl.sum(tl.where(keys > least, weight, 0), 0)
    goal = ((whole + equals * equal).to(tl.int64) * chance.to(tl.int64)) >> 24
    token = N
    before = tl.zeros((), tl.int64)
    for first in range(0, N, TILE):
        i, keys, weight = _piece(logits, first, best, cold, card, TILE, ZEROS)
        # One number of two sums: the weights above the least score, and how many equal it.
        both = tl.where(keys > least, weight, 0).to(tl.int64)
        both += tl.where(keys == least, 1, 0).to(tl.int64) << 32
        upto = before + tl.cumsum(both, 0)
        passed = (upto & 0xFFFFFFFF) + tl.minimum(upto >> 32, equals) * equal > goal
        token = tl.minimum(token, tl.min(tl.where(passed, i, N), 0))
        before += tl.sum(both, 0)
    return tl.minimum(token, card - 1).to(tl.int64)  # a row of NaN must not reach beyond a table


@triton.jit(do_not_specialize=["stream"])
def _draw_code(
    logits, step, card, seed, frame, temperature, top_k, width, forced, is_forced, stream, out,
    N: tl.constexpr, TILE: tl.constexpr, ZEROS: tl.constexpr,
    CODES: tl.constexpr,
):  # fmt: skip
    """Draw a code of each row, one program a row; or take the one that is forced."""
    row = tl.program_id(0)
    logits += row * step
    chance = _chance(tl.load(seed + row), tl.load(frame + row), stream + 1)
    token = _token(
        logits, card, tl.load(temperature + row), tl.load(top_k + row), width, chance,
        N, TILE, ZEROS,
    )  # fmt: skip
    at = row * CODES + stream
    token = tl.where(tl.load(is_forced + at) != 0, tl.load(forced + at), token)
    tl.store(out + row, token)


@triton.jit
def _draw_text(
    logits, step, card, seed, frame, temperature, top_k, width, forced, mode, pad, end,
    out, unforced, word_chance, finite,
    N: tl.constexpr, TILE: tl.constexpr, ZEROS: tl.constexpr,
):  # fmt: skip
    """Draw a text token of each row, one program a row; and say what `DrawnText` says."""
    row = tl.program_id(0)
    logits += row * step
    best = tl.max(_scores(logits, 0, card, N), 0)
    everything, words, total = 0.0, 0.0, 0.0
    for first in range(0, N, TILE):
        i = first + tl.arange(0, TILE)
        score = _scores(logits, first, card, TILE)
        likely = tl.exp(score - best)
        everything += tl.sum(likely, 0)
        words += tl.sum(tl.where((i == pad) | (i == end), 0.0, likely), 0)
        total += tl.sum(tl.where(i < card, score, 0.0), 0)
    tl.store(word_chance + row, words / everything)
    tl.store(finite + row, tl.abs(total) < float("inf"))
    chance = _chance(tl.load(seed + row), tl.load(frame + row), tl.zeros((), tl.int32))
    token = _token(
        logits, card, tl.load(temperature + row), tl.load(top_k + row), width, chance,
        N, TILE, ZEROS,
    )  # fmt: skip
    tl.store(unforced + row, token)
    how = tl.load(mode + row)
    forces = (how == _ALWAYS) | ((how == _AT_WORD) & (token != pad) & (token != end))
    tl.store(out + row, tl.where(forces, tl.load(forced + row), token))


class KernelDraws:
    """The draws of a step as `drawing.TorchDraws` has them, by kernels."""

    def __init__(
        self, state: SamplingState, forced: ForcedTokens, widths: Widths, no_words: tuple[int, int]
    ) -> None:
        assert max(widths.text, widths.audio) <= MOST_WIDTH
        self._state, self._forced, self._widths = state, forced, widths
        self._no_words = no_words

    def __call__(
        self, frame: torch.Tensor
    ) -> tuple[Callable[[torch.Tensor], DrawnText], Callable[[torch.Tensor, int], torch.Tensor]]:
        return partial(self._text, frame), partial(self._code, frame)

    def _text(self, frame: torch.Tensor, logits: torch.Tensor) -> DrawnText:
        state, forced = self._state, self._forced
        text, unforced = torch.empty_like(frame), torch.empty_like(frame)
        word_chance = torch.empty_like(frame, dtype=torch.float32)
        finite = torch.empty_like(frame, dtype=torch.bool)
        rows, card = logits.shape
        _draw_text[(rows,)](
            logits, logits.stride(0), card, state.seed, frame, state.text_temperature,
            state.text_top_k, self._widths.text, forced.text, forced.text_mode, *self._no_words,
            text, unforced, word_chance, finite,
            **_shape(logits),
        )  # fmt: skip
        return DrawnText(text, unforced, word_chance, finite)

    def _code(self, frame: torch.Tensor, logits: torch.Tensor, k: int) -> torch.Tensor:
        state, forced = self._state, self._forced
        out = torch.empty_like(frame)
        rows, card = logits.shape
        _draw_code[(rows,)](
            logits, logits.stride(0), card, state.seed, frame, state.audio_temperature,
            state.audio_top_k, self._widths.audio, forced.audio, forced.audio_mask, k, out,
            CODES=forced.audio.shape[1], **_shape(logits),
        )  # fmt: skip
        return out


def _shape(logits: torch.Tensor) -> dict[str, Any]:
    numbers = triton.next_power_of_2(logits.shape[1])
    return {
        "N": numbers,
        "TILE": min(numbers, TILE),
        "ZEROS": ZERO_BITS[logits.dtype],
        "num_warps": min(max(numbers // NUMBERS, 1), 16),
    }
