"""The step of one batch size, from buffers to buffers: Mimi, language model, Mimi.

Engine thread only.
"""

from dataclasses import dataclass

import torch
from moshi.utils.compile import no_compile

from worker.engine.network.captured import Captured
from worker.engine.network.codec import CodecWeights, Decoder, Encoder
from worker.engine.network.language import Language, Weights
from worker.engine.network.memory import Memory, StepBuffer
from worker.engine.network.sampler import Widths

# Columns of the buffer for whole numbers. From COLUMN on: the tokens that the model read, then the
# user's codes of the frame that came in.
TEXT, UNFORCED, VALID, FINITE, NEXT_TEXT, CHANCE, DRAWS, COLUMN = range(8)
CHANCES = 1_000_000_000  # a chance is carried out as a whole number of billionths


@dataclass(frozen=True, slots=True)
class StepBuffers:
    """Inputs and outputs of a step, a row for each slot."""

    pcm_in: StepBuffer  # [B, 1920] float32
    exec_in: StepBuffer  # [B] bool
    pcm_out: StepBuffer  # [B, 1920] float32
    numbers_out: StepBuffer  # [B, COLUMN + 1 + n_q + user codebooks]

    @classmethod
    def of(cls, device: torch.device, capacity: int, samples: int, numbers: int) -> "StepBuffers":
        return cls(
            pcm_in=StepBuffer.of(device, capacity, samples, dtype=torch.float32),
            exec_in=StepBuffer.of(device, capacity, dtype=torch.bool),
            pcm_out=StepBuffer.of(device, capacity, samples, dtype=torch.float32),
            numbers_out=StepBuffer.of(device, capacity, numbers, dtype=torch.long),
        )


class StepGraph(Captured):
    """The step of the first `batch` slots."""

    def __init__(
        self,
        memory: Memory,
        buffers: StepBuffers,
        widths: Widths,
        weights: Weights,
        codec_weights: CodecWeights,
        batch: int,
        *,
        keeps_first: bool,
    ) -> None:
        """`keeps_first`: a session's first frame counts for the encoder, see `MoshiStep`."""
        super().__init__()
        codec = memory.rows(batch, "codec")
        self._pcm = buffers.pcm_in.device[:batch, None]
        self._exec = buffers.exec_in.device[:batch]
        self._sound, self._numbers = (
            buffers.pcm_out.device[:batch],
            buffers.numbers_out.device[:batch],
        )
        self._heard = None if keeps_first else codec.take("heard")
        self._encode, self._decode = Encoder(codec_weights, codec), Decoder(codec_weights, codec)
        self._speak = Language(
            weights,
            memory.rows(batch, "lm"),
            memory.rows(batch, "sampling"),
            widths,
        )
        self._draws = memory.rows(batch, "sampling").take("frame")
        self._users = weights.user_codebooks

    @no_compile()
    def _compute(self) -> None:
        exec_mask = self._exec
        codes = self._encode(self._pcm, self._encodes(exec_mask))[:, : self._users]
        frame = self._speak(codes, exec_mask)
        sound = self._decode(frame.codes.clamp(min=0), frame.valid)
        total = sound.float().sum(dim=-1)
        finite = frame.drawn.finite & (total * 0 == 0)  # half as many kernels as `isfinite`
        self._sound.copy_(sound)
        numbers = [
            frame.text,
            frame.unforced_text,
            frame.valid.long(),
            finite.long(),
            frame.drawn.text,
            (frame.drawn.word_chance * CHANCES).long(),
            self._draws,
        ]
        columns = [*(each[:, None] for each in numbers), frame.column, codes]
        torch.cat(columns, dim=1, out=self._numbers)

    def _encodes(self, exec_mask: torch.Tensor) -> torch.Tensor:
        """Return the rows whose encoders advance: not those of a first frame that is discarded."""
        if self._heard is None:
            return exec_mask
        again = exec_mask & (self._heard > 0)
        self._heard.add_(exec_mask.long())
        return again
