"""A model of speech recognition over rows: Mimi's encoder, then a language model of text alone.

Equal to moshi 0.2.13 run_inference.py with `model_type` "stt": a greedy `LMGen` with `dep_q` 0. The
model reads initial tokens at position 0 and the first frame at position 1. Engine thread only.
"""

from dataclasses import dataclass

import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMModel
from moshi.utils.compile import no_compile

from worker.engine.kv_choice import KvMemory
from worker.engine.network.captured import Captured
from worker.engine.network.codec import CodecWeights, Encoder
from worker.engine.network.graphs import CHANCES
from worker.engine.network.language import embedder, initial_tokens
from worker.engine.network.memory import Memory, StepBuffer
from worker.engine.network.operations import linear, norm
from worker.engine.network.transformer import RingTransformer
from worker.engine.network.unsupported import refuse_recogniser

# Kyutai's heads foretell a pause of 0.5, 1, 2 and 3 s; the third ends turns in their client
# (delayed-streams-modeling 6966635 stt_from_mic_mlx.py), by the first of its six classes.
PAUSE_HEAD = 2
TEXT, PAUSE, FINITE, NUMBERS = range(4)  # columns of the buffer for whole numbers


class RecogniserWeights:
    """A recogniser's weights, and tensors that are derived from them once for all batch sizes."""

    def __init__(self, lm: LMModel, mimi: MimiModel, stored: KvMemory) -> None:
        refuse_recogniser(lm)
        self.lm, self.stored = lm, stored
        self.codec = CodecWeights(mimi, kernels=stored.kernels)
        self.initial = initial_tokens(lm)
        self.embed = embedder(lm)
        self.norm = norm(lm.out_norm, kernels=stored.kernels)
        self.logits = linear(lm.text_linear, kernels=stored.kernels)
        self.pause = lm.extra_heads[PAUSE_HEAD] if len(lm.extra_heads) > PAUSE_HEAD else None


@dataclass(frozen=True, slots=True)
class RecognitionBuffers:
    """Inputs and outputs of a step, a row for each person."""

    pcm_in: StepBuffer  # [B, 1920] float32
    exec_in: StepBuffer  # [B] bool
    numbers_out: StepBuffer  # [B, NUMBERS]

    @classmethod
    def of(cls, device: torch.device, rows: int, samples: int) -> "RecognitionBuffers":
        return cls(
            pcm_in=StepBuffer.of(device, rows, samples, dtype=torch.float32),
            exec_in=StepBuffer.of(device, rows, dtype=torch.bool),
            numbers_out=StepBuffer.of(device, rows, NUMBERS, dtype=torch.long),
        )


class RecognitionGraph(Captured):
    """The step of the first `batch` rows."""

    def __init__(
        self, memory: Memory, buffers: RecognitionBuffers, weights: RecogniserWeights, batch: int
    ) -> None:
        super().__init__()
        lm, lm_rows = weights.lm, memory.rows(batch, "lm")
        self._weights = weights
        self._pcm = buffers.pcm_in.device[:batch, None]
        self._exec = buffers.exec_in.device[:batch]
        self._numbers = buffers.numbers_out.device[:batch]
        self._encode = Encoder(weights.codec, memory.rows(batch, "codec"))
        self._text = lm_rows.take("text")  # [B] the token of the latest position
        self._transformer = RingTransformer(
            lm.transformer, lm_rows, "transformer", lm.dtype, weights.stored
        )

    @torch.inference_mode()
    @no_compile()
    def begin(self) -> None:
        """Read position 0 for the rows that are set to run, which are as new; no sound is taken."""
        column = self._weights.initial.expand(len(self._text), -1)
        self._read(column, self._exec)

    @no_compile()
    def _compute(self) -> None:
        codes = self._encode(self._pcm, self._exec)
        self._read(torch.cat([self._text[:, None], codes], dim=1), self._exec)

    def _read(self, column: torch.Tensor, exec_mask: torch.Tensor) -> None:
        """Read a position, `[B, 1 + n_q]`, and write its numbers out."""
        weights = self._weights
        hidden = weights.norm(self._transformer(weights.embed(column)[:, None], exec_mask))
        logits = weights.logits(hidden)[:, 0].float()
        text = logits.argmax(dim=-1)
        self._text.copy_(torch.where(exec_mask, text, self._text))
        finite = logits.sum(dim=-1).isfinite()
        pause = torch.zeros_like(logits[:, 0])
        if weights.pause is not None:
            pause = weights.pause(hidden)[:, 0].float().softmax(dim=-1)[:, 0].nan_to_num()
        numbers = [text, (pause * CHANCES).long(), finite.long()]
        torch.stack(numbers, dim=1, out=self._numbers)
