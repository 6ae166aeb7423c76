"""What int8 keys and values cost in fidelity: equal greedy tokens and KL of the logits.

Two conversations of one model hear each other, sampled, with keys and values in the model's own
type, and are given words to say in a third of all frames, so that they do not fall silent. A second
memory with int8 keys and values reads the same tokens and is forced to the same ones within each
frame, so that both compute the logits of the same positions. Compared at every position, over a
whole context and once more around the ring, without renewal: the share of positions where both
would take the same token greedily, and the Kullback-Leibler divergence of the int8 logits from the
model's own, in nats, at temperature 1.

    python -m bench.kv_dtype --arch pocket
    python -m bench.kv_dtype --arch tiny   # random weights, heads of 16 numbers

A table, then one line of JSON.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from moshi.models.lm import LMModel
from torch import nn

from bench import models
from protocol.sampling import UsualSampling
from worker.engine.kv_choice import OWN_TYPE, KvMemory
from worker.engine.network.depformer import ALWAYS, FREE, ForcedTokens
from worker.engine.network.language import Language, Weights
from worker.engine.network.memory import Memory
from worker.engine.network.sampler import SamplingState, Widths

Figures = npt.NDArray[np.float32]  # [positions, B, 1 + dep_q]

SESSIONS = 2
ROUND_FRAMES, WORD_FRAMES = 18, 6  # words are given in so many frames of each round


@dataclass(frozen=True, slots=True)
class KvRow:
    """A span of positions."""

    first: int
    last: int
    text_equal: float  # share of greedy tokens
    audio_equal: float
    text_kl: float  # nats
    audio_kl: float
    audio_kl_p99: float


class OneListener:
    """A language model over a memory of its own, whose logits are kept."""

    def __init__(self, weights: Weights, widths: Widths) -> None:
        lm = weights.lm
        self.memory = Memory(SESSIONS, lm.device)
        sampling = self.memory.rows(SESSIONS, "sampling")
        self.speak = Language(weights, self.memory.rows(SESSIONS, "lm"), sampling, widths)
        self.sampling = SamplingState.of(sampling)
        self.forced = ForcedTokens.of(sampling, lm.dep_q)
        self.logits: list[torch.Tensor] = []  # of the last position: text, then each codebook

    def step(self, heard: torch.Tensor, lm: LMModel) -> torch.Tensor:
        """Read a position with what was heard; return the tokens drawn, `[B, 1 + dep_q]`."""
        self.logits.clear()

        def keep(_: nn.Module, __: object, logits: torch.Tensor) -> None:
            self.logits.append(logits.reshape(SESSIONS, -1))

        hooks = [each.register_forward_hook(keep) for each in (lm.text_linear, *lm.linears)]
        offset = self.speak.offset.clone()
        self.frame = self.speak(heard, torch.ones(SESSIONS, dtype=torch.bool))
        for hook in hooks:
            hook.remove()
        tokens = self.memory.tensors["lm.tokens"]
        place = (offset + 1) % tokens.shape[2]
        return tokens[torch.arange(SESSIONS), : 1 + lm.dep_q, place]


@torch.inference_mode()
def compare(lm: LMModel, frames: int) -> Iterator[tuple[Figures, Figures]]:
    """Give for every position whether greedy tokens are equal, and the KL, `[B, 1 + dep_q]`."""
    widths = Widths(text=min(25, lm.text_card), audio=min(250, lm.card))
    own = OneListener(Weights(lm, OWN_TYPE), widths)
    int8 = OneListener(Weights(lm, KvMemory(int8=True)), widths)
    for slot in range(SESSIONS):
        own.sampling.set(slot, UsualSampling(), seed=slot)
    int8.forced.text_mode.fill_(ALWAYS)
    int8.forced.audio_mask.fill_(True)
    users = lm.n_q - lm.dep_q
    heard = torch.zeros(SESSIONS, users, dtype=torch.long)
    rng = torch.Generator().manual_seed(0)
    for frame in range(frames):
        own.forced.text_mode.fill_(ALWAYS if frame % ROUND_FRAMES < WORD_FRAMES else FREE)
        own.forced.text.copy_(torch.randint(4, lm.text_card, (SESSIONS,), generator=rng))
        drawn = own.step(heard, lm)
        int8.forced.text.copy_(drawn[:, 0])
        int8.forced.audio.copy_(drawn[:, 1:])
        int8.step(heard, lm)
        heard = own.frame.codes.clamp(min=0).flip(0)[:, :users]
        pairs = list(zip(own.logits, int8.logits, strict=True))
        equal = [(a.argmax(-1) == b.argmax(-1)).float() for a, b in pairs]
        yield torch.stack(equal, 1).numpy(), torch.stack([divergence(*p) for p in pairs], 1).numpy()


def divergence(own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return KL(own || other) of logits `[B, card]` in nats, `[B]`."""
    p, q = own.double().log_softmax(-1), other.double().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


def spans(lm: LMModel, equal: Figures, kl: Figures) -> Iterator[KvRow]:
    """Sum up quarters of the first turn around the ring, and halves of the second."""
    context = lm.context or 0
    marks = [0, context // 4, context // 2, context, context + context // 2, 2 * context]
    for first, last in [*pairwise(marks), (0, 2 * context)]:
        here = slice(first, last)
        yield KvRow(
            first=first,
            last=last,
            text_equal=round(float(equal[here, :, 0].mean()), 4),
            audio_equal=round(float(equal[here, :, 1:].mean()), 4),
            text_kl=float(f"{kl[here, :, 0].mean():.2g}"),
            audio_kl=float(f"{kl[here, :, 1:].mean():.2g}"),
            audio_kl_p99=float(f"{np.quantile(kl[here, :, 1:], 0.99):.2g}"),
        )


def main() -> None:
    parser = models.options_of(__doc__)
    for action in parser._actions:
        if action.dest == "arch":
            action.choices = ("pocket", "tiny")
    options, device = models.read(parser)
    if options.arch == "tiny":
        from tests.engine.tiny import tiny_lm

        lm = tiny_lm(context=options.context or 64, dim=32)
    else:
        lm, _ = models.load(options, device, SESSIONS)
    context = lm.context or 0
    equal, kl = map(np.stack, zip(*compare(lm, 2 * context), strict=True))
    rows = list(spans(lm, equal, kl))
    print(f"{options.arch}, context {context}, {SESSIONS} sessions, int8 against {lm.dtype}")
    print("  ".join(f"{name:>12}" for name in KvRow.__dataclass_fields__))
    for row in rows:
        print("  ".join(f"{value:>12}" for value in asdict(row).values()))
    result = {"bench": "kv_dtype", "arch": options.arch, "context": context}
    print(json.dumps(result | {"torch": torch.__version__, "rows": [asdict(row) for row in rows]}))


if __name__ == "__main__":
    main()
