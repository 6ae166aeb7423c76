"""Load a model of speech recognition from its files, as Kyutai publishes it for moshi.

Runs once, before the worker registers, on the calling thread.
"""

import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMModel
from pydantic import BaseModel, Field, ValidationError
from safetensors import SafetensorError
from sentencepiece import SentencePieceProcessor

from protocol.errors import InvalidInput, explain
from worker.engine.files.hub_files import Progress
from worker.engine.files.model_config import RECOGNISERS
from worker.engine.files.model_files import ModelFiles, find_model
from worker.engine.files.sizes import (
    CODEC_STATE_BYTES,
    attention_bytes,
    frame_bytes,
    weights_bytes,
)
from worker.engine.files.tokenizer import pieces_of, read_tokenizer
from worker.engine.files.weights import bare_lm, load_codec, load_lm
from worker.engine.kv_choice import KvMemory
from worker.engine.network.kernels.check import why_no_kernels
from worker.engine.network.unsupported import UnsupportedModel
from worker.engine.recognition.listeners import Listeners, Recognition
from worker.engine.recognition.step import KyutaiStep

WORD_MARK = "▁"  # of a sentencepiece that begins a word
# Seconds of silence after the delay that bring out a person's last words (moshi 0.2.13
# run_inference.py `InferenceState.run`).
FLUSH_S = 1.0


class _SttConfig(BaseModel):
    """The object `stt_config` of config.json."""

    audio_delay_seconds: float = Field(ge=0, le=10)
    audio_silence_prefix_seconds: float = Field(default=0.0, ge=0, le=10)


@dataclass(frozen=True, slots=True)
class FoundRecogniser:
    """A recogniser whose files are here and fit each other; its language model is not loaded."""

    files: ModelFiles
    bare: LMModel  # without weights
    mimi: MimiModel
    tokenizer: SentencePieceProcessor
    config: _SttConfig
    device: torch.device
    dtype: torch.dtype

    @property
    def weights_bytes(self) -> int:
        """Bytes that loading takes, whatever the rows."""
        return weights_bytes(self.bare)

    @property
    def row_bytes(self) -> int:
        context = (self.bare.context or 1) * frame_bytes(self.bare, self.dtype)
        return context + attention_bytes(self.mimi, torch.float32) // 2 + CODEC_STATE_BYTES

    def load(self, rows: int, progress: Progress) -> Recognition:
        """Load the weights and make room for so many people; blocks."""
        with _about_stt(self.files.name):
            lm = load_lm(self.files, self.device, self.dtype, progress=progress)
            step = KyutaiStep(
                lm,
                self.mimi,
                rows,
                silence_frames=math.ceil(
                    self.config.audio_silence_prefix_seconds * self.mimi.frame_rate
                ),
                stored=self.stored(progress),
            )
        delay_s = self.config.audio_delay_seconds
        flush_frames = math.ceil((delay_s + FLUSH_S) * self.mimi.frame_rate)
        listeners = Listeners(step, flush_frames)
        listeners.rehearse()
        pieces = pieces_of(lm, self.tokenizer)
        return Recognition(
            name=self.files.name,
            listeners=listeners,
            decode=lambda tokens: self.tokenizer.decode([each for each in tokens if pieces[each]]),
            begins_word=lambda token: (pieces[token] or "").startswith(WORD_MARK),
            padding=lm.text_padding_token_id,
            boundary=lm.end_of_text_padding_id,
            delay_s=delay_s,
            has_pauses=step.has_pauses,
        )

    def stored(self, progress: Progress) -> KvMemory:
        """Return how keys and values are kept; `progress` gets a line if a card runs no kernels."""
        no_kernels = why_no_kernels(self.device, self.bare)
        if no_kernels is not None and self.device.type == "cuda":
            progress(f"{self.files.name} by torch's attention: {no_kernels}")
        return KvMemory(kernels=no_kernels is None)


def find_recogniser(
    name: str, device: torch.device, dtype: torch.dtype, progress: Progress, most_bytes: int
) -> FoundRecogniser:
    """Find the files of a folder or hub repository, downloaded if need be.

    Raises `InvalidInput` that says what to do.
    """
    if "mlx" in name.rpartition("/")[2]:
        raise InvalidInput(
            f"STT={name!r}: it is for MLX, Apple's chips; expected kyutai/stt-1b-en_fr, or another "
            "of Kyutai's for PyTorch or candle"
        )
    with _about_stt(name):
        files = find_model(name, progress, most_bytes=most_bytes, model_types=RECOGNISERS)
        try:
            config = _SttConfig.model_validate(files.config.get("stt_config", {}))
        except ValidationError as error:
            raise InvalidInput(
                f"MODEL={name!r}: config.json: stt_config.{explain(error)}"
            ) from None
        bare = bare_lm(files, dtype, None)
        tokenizer = read_tokenizer(files, bare.text_card)
        mimi = load_codec(files, bare, device)
    return FoundRecogniser(files, bare, mimi, tokenizer, config, device, dtype)


@contextmanager
def _about_stt(name: str) -> Generator[None]:
    """Name the setting STT in errors, where the loading of models names MODEL."""
    try:
        yield
    except (UnsupportedModel, SafetensorError) as error:
        raise InvalidInput(f"STT={name!r}: {error}") from error
    except InvalidInput as error:
        raise InvalidInput(str(error).replace("MODEL=", "STT=", 1)) from error
