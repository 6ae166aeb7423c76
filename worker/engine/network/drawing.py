"""From the hidden state of a position to the next position's tokens: text and the agent's codes.

`Drawer` does it in every step of a batch. `FirstTokens` does it once for a session that begins: its
prompt was read beside the slots, and what follows is drawn with the session's own sampling.
Equal to moshi 0.2.13 models/lm.py `LMGen._step` from the text logits on. Engine thread only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from moshi.models.lm import LMModel
from moshi.utils.compile import no_compile

from worker.engine.network.depformer import (
    ALWAYS,
    AT_WORD,
    Depformer,
    DrawCode,
    ForcedTokens,
    Projections,
)
from worker.engine.network.memory import Memory, Rows
from worker.engine.network.operations import linear
from worker.engine.network.sampler import (
    Draw,
    DrawnText,
    Sampler,
    SamplingState,
    Widths,
    chance_beside,
)

# logits [B, card] → a text token of each row
DrawText = Callable[[torch.Tensor], DrawnText]
# number of each row's frame [B] → how that frame's tokens are drawn
Draws = Callable[[torch.Tensor], tuple[DrawText, DrawCode]]


@dataclass(frozen=True, slots=True)
class TokenRing:
    """The tokens of the latest positions, by position modulo the ring's length."""

    tokens: torch.Tensor  # [B, 1 + n_q, ring]
    unforced: torch.Tensor  # [B, ring] text tokens before forcing

    @classmethod
    def of(cls, lm: LMModel, lm_rows: Rows) -> "TokenRing":
        """Take it from memory: the longest delay, the position that is read and the next one."""
        ring, fill = max(lm.delays) + 2, lm.ungenerated_token_id
        return cls(
            lm_rows.take("tokens", 1 + lm.n_q, ring, fill=fill),
            lm_rows.take("unforced_text", ring, fill=fill),
        )

    @property
    def size(self) -> int:
        return self.unforced.shape[1]

    def write(self, position: torch.Tensor, drawn: DrawnText, codes: torch.Tensor) -> None:
        """Write the agent's tokens of a position, `[B]`."""
        place = (position % self.size)[:, None]
        used = torch.cat([drawn.text[:, None], codes], dim=1)[:, :, None]
        ours = self.tokens[:, : used.shape[1]]
        ours.scatter_(2, place[:, None].expand(-1, used.shape[1], 1), used)
        self.unforced.scatter_(1, place, drawn.unforced[:, None])


class Drawer:
    """Draws tokens for some rows of a memory, each with its own sampling and forced tokens."""

    def __init__(
        self,
        lm: LMModel,
        depformer: Depformer,
        sampling_state: Rows,
        widths: Widths,
        *,
        kernels: bool = False,
    ) -> None:
        self._logits, self._depformer = linear(lm.text_linear, kernels=kernels), depformer
        state, forced = SamplingState.of(sampling_state), ForcedTokens.of(sampling_state, lm.dep_q)
        no_words = (lm.text_padding_token_id, lm.end_of_text_padding_id)
        self._draws: Draws = TorchDraws(state, forced, widths, no_words)
        if kernels:
            from worker.engine.network.kernels import draws

            self._draws = draws.KernelDraws(state, forced, widths, no_words)
        # Draws since the session joined: the ring's offset goes back when an LM state is renewed,
        # and the same chances would come again.
        self._frame = sampling_state.take("frame")

    def __call__(
        self, hidden: torch.Tensor, exec_mask: torch.Tensor
    ) -> tuple[DrawnText, torch.Tensor]:
        """Draw text and codes `[B, dep_q]` of the next position from `[B, 1, dim]`.

        A code with a delay belongs to the frame before. The random numbers of the rows of
        `exec_mask` advance.
        """
        draw_text, draw_code = self._draws(self._frame)
        drawn = draw_text(self._logits(hidden)[:, 0])
        codes = self._depformer(drawn.text, hidden[:, 0], draw_code)
        self._frame.add_(exec_mask)
        return drawn, codes


class TorchDraws:
    """The draws of a step by torch, on any device."""

    def __init__(
        self, state: SamplingState, forced: ForcedTokens, widths: Widths, no_words: tuple[int, int]
    ) -> None:
        self._forced, self._no_words = forced, no_words
        self._sampler = Sampler(state, widths, forced.audio.shape[1])
        self._silent = torch.tensor(no_words, device=forced.text.device)

    def __call__(self, frame: torch.Tensor) -> tuple[DrawText, DrawCode]:
        text, audio = self._sampler.draws(frame)
        return partial(self._text, text), partial(self._code, audio)

    def _text(self, draw: Draw, logits: torch.Tensor) -> DrawnText:
        unforced, forced = draw.token(logits, 0), self._forced
        pad, end = self._no_words
        word = (unforced != pad) & (unforced != end)
        forces = (forced.text_mode == ALWAYS) | ((forced.text_mode == AT_WORD) & word)
        return DrawnText(
            text=torch.where(forces, forced.text, unforced),
            unforced=unforced,
            word_chance=chance_beside(self._silent, logits),
            finite=logits.float().sum(dim=-1).isfinite(),
        )

    def _code(self, draw: Draw, logits: torch.Tensor, k: int) -> torch.Tensor:
        forced = self._forced
        return torch.where(forced.audio_mask[:, k], forced.audio[:, k], draw.token(logits, k))


class FirstTokens:
    """Draws the tokens after a prompt, for one slot at a time, outside the batch."""

    def __init__(self, lm: LMModel, inputs: Projections, memory: Memory, widths: Widths) -> None:
        self._lm, self._memory, self._widths = lm, memory, widths
        self._depformer = Depformer(lm, inputs, 1)
        self._one = torch.ones(1, dtype=torch.bool, device=lm.device)

    @torch.inference_mode()
    @no_compile()
    def draw(self, slot: int, hidden: torch.Tensor) -> int:
        """Draw from the hidden state of the last position, `[1, 1, dim]`; return the text token.

        The slot's next step reads the drawn tokens.
        """
        sampling_state = self._memory.rows(1, "sampling", first=slot)
        lm_rows = self._memory.rows(1, "lm", first=slot)
        draw = Drawer(self._lm, self._depformer, sampling_state, self._widths)
        drawn, codes = draw(hidden, self._one)
        TokenRing.of(self._lm, lm_rows).write(lm_rows.take("transformer.offset"), drawn, codes)
        return int(drawn.text)
