"""The language model over slots: user codes in; text token and agent codes of a frame out.

Owns the transformer and the token ring with its acoustic delays; what is drawn from them is
`drawing.py`. Equal to moshi 0.2.13 models/lm.py `LMGen._step` with `support_out_of_sync`, without
its host reads, its boolean-mask write (line 782) and its re-bound offsets (line 762), so it can be
captured.
Engine thread only.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from moshi.models.lm import LMModel
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from protocol.errors import InvalidInput
from worker.engine.arrays import Tokens
from worker.engine.kv_choice import OWN_TYPE, KvMemory
from worker.engine.network.depformer import Depformer, Projections, table_of
from worker.engine.network.drawing import Drawer, TokenRing
from worker.engine.network.memory import Memory, Rows, Snapshot
from worker.engine.network.operations import Op, norm, product
from worker.engine.network.sampler import DrawnText, Widths
from worker.engine.network.transformer import RingTransformer
from worker.engine.network.unsupported import UnsupportedModel, refuse_unsupported


@dataclass(frozen=True, slots=True)
class LmFrame:
    """Output of one step, a row for each slot."""

    text: torch.Tensor  # [B] text token of the frame
    unforced_text: torch.Tensor  # [B] the same before forcing
    codes: torch.Tensor  # [B, dep_q] agent codes of the frame
    valid: torch.Tensor  # [B] False where masked or still warming up
    column: torch.Tensor  # [B, 1 + n_q] what the model read in this step
    drawn: DrawnText  # of the next position: its text is out one delay later


class Weights:
    """A language model, and tensors that are derived from its weights once for all batch sizes."""

    def __init__(self, lm: LMModel, stored: KvMemory = OWN_TYPE) -> None:
        refuse_unsupported(lm)
        self.lm, self.stored = lm, stored
        self.user_codebooks = lm.n_q - lm.dep_q
        self.delays = torch.tensor(lm.delays, device=lm.device)
        self.initial = initial_tokens(lm)
        self.embed = embedder(lm)
        self.norm = norm(lm.out_norm, kernels=stored.kernels)
        self.depformer_in = _stacked(list(lm.depformer_in), kernels=stored.kernels)


class Language:
    """One step of the language model for the first rows of a memory."""

    def __init__(
        self, weights: Weights, lm_rows: Rows, sampling_state: Rows, widths: Widths
    ) -> None:
        lm = weights.lm
        self._weights = weights
        self._gen = 1 + lm.dep_q
        self._max_delay = max(lm.delays)
        self._newest = weights.delays[: self._gen] - self._max_delay  # from the position, [gen]
        self._ring = TokenRing.of(lm, lm_rows)
        self.transformer = RingTransformer(
            lm.transformer, lm_rows, "transformer", lm.dtype, weights.stored
        )
        self.offset = self.transformer.offset
        kernels = weights.stored.kernels
        depformer = Depformer(lm, weights.depformer_in, lm_rows.count, kernels=kernels)
        self._draw = Drawer(lm, depformer, sampling_state, widths, kernels=kernels)

    def __call__(self, user_codes: torch.Tensor, exec_mask: torch.Tensor) -> LmFrame:
        """Advance the rows of `exec_mask` by one frame. user_codes `[B, user codebooks]`.

        Masked rows write garbage only where their own next frame writes again.
        """
        offset = self.offset.clone()
        column = self._read(user_codes, offset)
        hidden = self._weights.norm(
            self.transformer(self._weights.embed(column)[:, None], exec_mask)
        )
        drawn, codes = self._draw(hidden, exec_mask)
        after = offset + 1
        self._ring.write(after, drawn, codes)
        return self._frame(after, column, drawn, exec_mask)

    def _read(self, user_codes: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        """Write the user's codes, each at its delay, and read this position's tokens."""
        tokens, size = self._ring.tokens, self._ring.size
        places = (offset[:, None] + self._weights.delays[self._gen :]) % size
        tokens[:, self._gen :].scatter_(2, places[:, :, None], user_codes[:, :, None])
        here = (offset % size)[:, None, None].expand(-1, tokens.shape[1], 1)
        column = tokens.gather(2, here)[:, :, 0]
        return torch.where(offset[:, None] <= self._weights.delays, self._weights.initial, column)

    def _frame(
        self, after: torch.Tensor, column: torch.Tensor, drawn: DrawnText, exec_mask: torch.Tensor
    ) -> LmFrame:
        """Read the newest frame that has all its codebooks."""
        places = (after[:, None] + self._newest) % self._ring.size
        out = self._ring.tokens[:, : self._gen].gather(2, places[:, :, None])[:, :, 0]
        return LmFrame(
            text=out[:, 0],
            unforced_text=self._ring.unforced.gather(1, places[:, :1])[:, 0],
            codes=out[:, 1:],
            valid=exec_mask & (after > self._max_delay),
            column=column,
            drawn=drawn,
        )


@dataclass(frozen=True, slots=True)
class PromptState:
    """An LM state that has read a prompt, and the hidden state of its last position."""

    lm_state: Snapshot
    hidden: torch.Tensor  # [1, 1, dim] of the last position


class Prefill:
    """An LM state beside the slots that reads known tokens, many positions in one pass.

    For prompts, and for renewing a session from its own tokens. The result is a snapshot for any
    slot, equal to having read one by one.
    """

    def __init__(self, weights: Weights, frames: int) -> None:
        """Make room for `frames` positions, at most the model's context."""
        lm = weights.lm
        if not 0 < frames <= (lm.context or 0):
            raise InvalidInput(f"frames={frames}: expected 1 to the context, {lm.context}")
        self._weights = weights
        self.frames = frames
        self.memory = Memory(1, lm.device)
        lm_rows = self.memory.rows(1, "lm")
        self._ring = TokenRing.of(lm, lm_rows)
        # Attention by torch (`step` 0): kernels would be compiled for this ring, in a call.
        self._transformer = RingTransformer(
            lm.transformer, lm_rows, "transformer", lm.dtype, weights.stored, frames, step=0
        )
        self._read = 0
        self._hidden: torch.Tensor | None = None
        self._all = torch.ones(1, dtype=torch.bool, device=lm.device)

    @property
    def room(self) -> int:
        return self.frames - self._read

    @property
    def initial(self) -> Tokens:
        """The tokens that a session reads at its first position, `[1, 1 + n_q]`."""
        return self._weights.initial[None].cpu().numpy()

    @torch.inference_mode()
    def begin(self, start: Snapshot | None = None) -> None:
        """Begin as new, or with a saved LM state of at most `frames` positions."""
        self.memory.clear(0, deep=True)
        self._read = 0
        if start is not None:
            self.memory.load(0, start)
            self._read = positions(start)

    @torch.inference_mode()
    def read(self, columns: Tokens) -> None:
        """Read on: `[T, 1 + n_q]`, one row for each position, as `MoshiStep.columns` holds them."""
        if len(columns):
            there = torch.from_numpy(columns).to(self._all.device)
            self.read_embedded(self._weights.embed(there))

    @torch.inference_mode()
    def read_embedded(self, embeddings: torch.Tensor) -> None:
        """Read on positions by their embeddings `[T, dim]`, where no tokens are known."""
        frames = len(embeddings)
        if self._read + frames > self.frames:
            raise InvalidInput(f"columns: {self._read} + {frames}; expected at most {self.frames}")
        there = embeddings.to(self._all.device, self._weights.lm.dtype)
        with _ready_attention() if there.is_cuda else nullcontext():
            hidden = self._transformer(there[None], self._all)
        self._hidden = self._weights.norm(hidden[:, -1:])
        self._read += frames
        if there.is_cuda:  # the time of this piece plans the next
            torch.cuda.current_stream().synchronize()

    @torch.inference_mode()
    def snapshot(self, ahead: Tokens, unforced: Tokens | None = None) -> Snapshot:
        """Save the LM state, with the tokens of the next positions `[T, 1 + n_q]` in its ring.

        The slot's next step reads the first of them, with what the user says then. `unforced` `[T]`
        are the text tokens before forcing, where they differ.
        """
        ring = self._ring
        there = torch.from_numpy(ahead).to(self._all.device)
        for n, column in enumerate(there[: ring.size]):
            place = (self._read + n) % ring.size
            ring.tokens[0, :, place] = column
            ring.unforced[0, place] = column[0] if unforced is None else int(unforced[n])
        return self.memory.save(0, "lm", frames=self._read)

    def prompt_state(self, ahead: Tokens) -> PromptState:
        """Save the LM state for sessions that begin with it; `ahead` as in `snapshot`."""
        assert self._hidden is not None
        return PromptState(self.snapshot(ahead), self._hidden)


def _ready_attention() -> AbstractContextManager[object]:
    """Disable cuDNN's attention, which plans up to half a second for every new prompt length."""
    return sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])


def positions(lm_state: Snapshot) -> int:
    return int(lm_state.rows["lm.transformer.offset"])


def initial_tokens(lm: LMModel) -> torch.Tensor:
    """Return the tokens that a model reads at its first position, `[1 + n_q]`."""
    tokens = [lm.text_initial_token_id, *[lm.initial_token_id] * lm.n_q]
    return torch.tensor(tokens, device=lm.device)


def embedder(lm: LMModel) -> Op:
    """Return the sum of embeddings, `[…, 1 + n_q]` → `[…, dim]`; negative tokens add nothing.

    One look-up in one table for all streams. The model's own tables become views of it.
    """
    modules = [lm.text_emb, *lm.emb]
    tables = [table for table in map(table_of, modules) if table is not None]
    if len(tables) < len(modules):
        raise UnsupportedModel("embeddings with a norm, low rank or a second text stream")
    whole = torch.cat([*tables, tables[0].new_zeros(1, lm.dim)])
    firsts = _share_out(modules, whole)
    first = torch.tensor(firsts, device=whole.device)
    nothing = torch.tensor(whole.shape[0] - 1, device=whole.device)
    return lambda column: F.embedding(torch.where(column < 0, nothing, column + first), whole).sum(
        dim=-2
    )


def _stacked(modules: list[nn.Module], *, kernels: bool) -> Projections:
    """Return all projections of one input, as one product where they are plain linears."""
    linears = [module for module in modules if type(module) is nn.Linear]
    if len(linears) < len(modules):  # quantized, or with LoRA
        return lambda x: [module(x) for module in modules]
    whole = torch.cat([linear.weight.detach() for linear in linears])
    _share_out(linears, whole)
    sizes = [linear.out_features for linear in linears]
    project = product(whole, kernels=kernels)
    return lambda x: project(x).split(sizes, dim=-1)


def _share_out(modules: Sequence[nn.Module], whole: torch.Tensor) -> list[int]:
    """Make each module's weight a view of its piece of `whole`; return where the pieces begin."""
    firsts: list[int] = []
    first = 0
    for module in modules:
        weight = module.get_parameter("weight")
        firsts.append(first)
        size = weight.shape[0]
        weight.data = whole[first : first + size]
        first += size
    return firsts
