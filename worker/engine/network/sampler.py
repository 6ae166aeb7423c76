"""Draw tokens row by row: temperature, top-k and seed are tensors, greedy is T = 0.

A draw is a function of the slot's seed, its frame and the codebook alone, so that the same call
again gives the same call, whatever the other slots do. Engine thread only.
"""

import math
from dataclasses import dataclass

import torch

from protocol.sampling import UsualSampling
from worker.engine.network.memory import Rows

_MASK_32 = 0xFFFFFFFF
GOLDEN = 0x9E3779B9  # 2^32 / golden ratio, spreads neighbouring numbers (Knuth, TAOCP 6.4)


@dataclass(slots=True)
class Widths:
    """How many candidates are considered: host numbers, frozen into a captured graph.

    A row's own top-k may be anything up to them; beyond, it counts as the width.
    """

    text: int
    audio: int

    def at_most(self, text: int, audio: int) -> "Widths":
        """Return these widths, or the given ones where they are smaller."""
        return Widths(text=min(self.text, text), audio=min(self.audio, audio))


@dataclass(frozen=True, slots=True)
class SamplingState:
    """The sampling of each slot."""

    seed: torch.Tensor  # [B]
    text_temperature: torch.Tensor  # [B] float32
    text_top_k: torch.Tensor  # [B]
    audio_temperature: torch.Tensor  # [B] float32
    audio_top_k: torch.Tensor  # [B]

    @classmethod
    def of(cls, rows: Rows) -> "SamplingState":
        return cls(
            seed=rows.take("seed"),
            text_temperature=rows.take("text_temperature", dtype=torch.float32),
            text_top_k=rows.take("text_top_k", fill=1),
            audio_temperature=rows.take("audio_temperature", dtype=torch.float32),
            audio_top_k=rows.take("audio_top_k", fill=1),
        )

    @torch.inference_mode()
    def set(self, slot: int, sampling: UsualSampling, seed: int) -> None:
        self.seed[slot] = seed
        self.text_temperature[slot] = sampling.text_temperature
        self.text_top_k[slot] = sampling.text_top_k
        self.audio_temperature[slot] = sampling.audio_temperature
        self.audio_top_k[slot] = sampling.audio_top_k


@dataclass(frozen=True, slots=True)
class DrawnText:
    """A text token and what its logits say, a row for each slot."""

    text: torch.Tensor  # [B]
    unforced: torch.Tensor  # [B] the token before forcing
    word_chance: torch.Tensor  # [B] float32, what the model gave to all words
    finite: torch.Tensor  # [B] False where the logits went NaN


@dataclass(frozen=True, slots=True)
class Draw:
    """Everything needed to draw one stream's token in this step, for all rows."""

    width: int
    cold: torch.Tensor  # [B, 1] 1 / temperature, 1 where greedy
    kept: torch.Tensor  # [B, width] 1.0 for ranks within the row's top-k
    chance: torch.Tensor  # [B, streams] in [0, 1); 0, the first rank, where greedy

    def token(self, logits: torch.Tensor, stream: int) -> torch.Tensor:
        """Draw tokens `[B]` from logits `[B, card]`."""
        if self.width == 1:
            return logits.argmax(dim=-1)
        best, ids = logits.topk(self.width, dim=-1)
        return pick(best, ids, self.cold, self.kept, self.chance[:, stream])


def pick(
    best: torch.Tensor,
    ids: torch.Tensor,
    cold: torch.Tensor,
    kept: torch.Tensor,
    chance: torch.Tensor,
) -> torch.Tensor:
    """Draw `[B]` from the ranks `[B, width]`, best first; the others as `Draw` has them.

    Inverts the cumulated probabilities of the ranks, so one random number is enough. They are
    summed from the best rank on: ranks beyond a row's own top-k add exact zeros, so a neighbour's
    larger width changes nothing.
    """
    best = best.float()
    weights = ((best - best[:, :1]) * cold).exp_().mul_(kept)
    upto = weights.cumsum(dim=-1)
    rank = (upto <= upto[:, -1:] * chance[:, None]).sum(dim=-1, keepdim=True)
    return ids.gather(-1, rank)[:, 0]


class Sampler:
    """Makes the draws of each step for the slots of a batch."""

    def __init__(self, state: SamplingState, widths: Widths, audio_streams: int) -> None:
        self._state, self._widths = state, widths
        device = self._state.seed.device
        self._streams = torch.arange(1 + audio_streams, device=device) * GOLDEN
        self._ranks = torch.arange(0, device=device)

    def draws(self, offset: torch.Tensor) -> tuple[Draw, Draw]:
        """Prepare this step's text and audio draws; `offset` `[B]` is each row's frame number."""
        state = self._state
        key = scramble(scramble(state.seed & _MASK_32) ^ offset)
        chance = scramble((key[:, None] ^ self._streams) & _MASK_32)
        chance = (chance >> 8).float() * 2.0**-24  # [B, 1 + audio streams]
        text = (state.text_temperature, state.text_top_k, chance[:, :1])
        audio = (state.audio_temperature, state.audio_top_k, chance[:, 1:])
        return self._draw(self._widths.text, *text), self._draw(self._widths.audio, *audio)

    def _draw(
        self, width: int, temperature: torch.Tensor, top_k: torch.Tensor, chance: torch.Tensor
    ) -> Draw:
        if self._ranks.shape[0] < width:
            self._ranks = torch.arange(width, device=self._ranks.device)
        warm = (temperature > 0)[:, None]
        cold = torch.where(warm, temperature[:, None], 1.0).reciprocal()
        kept = (self._ranks[:width] < top_k[:, None]).float()
        return Draw(width, cold, kept, chance * warm)


def chance_beside(tokens: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Return the chance of all but these tokens together, at temperature 1: `[B, card]` → `[B]`.

    Summed without them, for 1 less theirs has no digits left where it is small.
    """
    logits = logits.float()
    others = logits.index_fill(-1, tokens, -math.inf)
    return (others.logsumexp(dim=-1) - logits.logsumexp(dim=-1)).exp()


def scramble(number: torch.Tensor) -> torch.Tensor:
    """Mix the bits of 32-bit numbers held in int64 (Wellons, lowbias32; a bijection)."""
    number = number ^ (number >> 16)
    number = (number * 0x7FEB352D) & _MASK_32
    number = number ^ (number >> 15)
    number = (number * 0x846CA68B) & _MASK_32
    return number ^ (number >> 16)
