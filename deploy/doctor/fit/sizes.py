"""The memory that a model needs, from its configuration, headers of files and voices.

The worker counts the same from the model itself (`worker.engine.load`); a test compares.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from deploy.doctor.fit.recogniser import RecogniserSizes, codec_slot_bytes
from protocol.errors import InvalidInput
from worker.engine.capacity import MemoryPlan, kv_frame_bytes
from worker.engine.files.model_files import ModelFiles
from worker.engine.files.shapes import agent_steps, is_prompted, lm_sizes, rows_taken, takes
from worker.engine.files.weight_files import Shapes

KEYS_AND_VALUES = 2


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """The sizes of a model at one precision."""

    weights_bytes: int
    frame_bytes: int
    int8_frame_bytes: int
    slot_bytes: int
    context_frames: int
    voice_frames: int | None = None  # of the longest voice; None: it follows no prompts

    def plan(
        self,
        device: str,
        free_bytes: int,
        *,
        on_gpu: bool,
        int8: bool = False,
        recogniser: RecogniserSizes | None = None,
    ) -> MemoryPlan:
        """Return the worker's own plan for a device, keys and values in its own type or `int8`.

        `recogniser`: Kyutai's STT that runs beside the model.
        """
        plan = MemoryPlan(
            device=device,
            on_gpu=on_gpu,
            free_bytes=free_bytes,
            weights_bytes=self.weights_bytes,
            frame_bytes=self.int8_frame_bytes if int8 else self.frame_bytes,
            slot_bytes=self.slot_bytes,
            context_frames=self.context_frames,
            int8=int8,
        )
        plan = plan.with_lm_states(self.voice_frames)
        if recogniser is None:
            return plan
        return plan.with_recognition(recogniser.weights_bytes, recogniser.row_bytes)

    def at_context(self, frames: int | None) -> "ModelSizes":
        """Return the sizes with the context of `CONTEXT`."""
        return self if frames is None else replace(self, context_frames=frames)

    def with_voices(self, model: Path | None, operator: Path) -> "ModelSizes":
        """Return the sizes with the longest voice, if the model follows prompts.

        Raises `InvalidInput` for a file that is no voice.
        """
        if self.voice_frames is None:
            return self
        try:
            from worker.engine.conversation.voices import (  # takes torch: seconds
                longest_of,
                read_voices,
            )
        except ModuleNotFoundError:  # the small environment: a recording is cut at 15 s
            longest = LONGEST_VOICE_FRAMES if any(operator.glob("*.wav")) else 0
        else:
            longest = longest_of(read_voices(model, operator))
        return replace(self, voice_frames=max(longest, self.voice_frames))


# moshi's own 7B (moshi 0.2.13 loaders.py `_lm_kwargs`): 7,687,729,152 parameters.
SEVEN_B = ModelSizes(
    weights_bytes=2 * 7_687_729_152,
    frame_bytes=kv_frame_bytes(32, 4096, 32, 2, int8=False),
    int8_frame_bytes=kv_frame_bytes(32, 4096, 32, 2, int8=True),
    slot_bytes=codec_slot_bytes(None) + KEYS_AND_VALUES * 6 * 8 * 1024 * 2,
    context_frames=3000,
)
# The same with its 7,374,635,008 linear weights in 8 bits, by arithmetic (scales in float32).
SEVEN_B_IN_8_BITS = replace(SEVEN_B, weights_bytes=8_008_619_008)
EIGHT_BIT_MODEL = "kyutai/moshiko-pytorch-q8"

PERSONAPLEX_VOICE_FRAMES = 51  # 4 s, each of its own voices
LONGEST_VOICE_FRAMES = 188  # 15 s

KNOWN = {
    "kyutai/moshiko-pytorch-bf16": SEVEN_B,
    "kyutai/moshika-pytorch-bf16": SEVEN_B,
    "nvidia/personaplex-7b-v1": replace(SEVEN_B, voice_frames=PERSONAPLEX_VOICE_FRAMES),
    "kyutai/moshiko-pytorch-q8": SEVEN_B_IN_8_BITS,
    "kyutai/moshika-pytorch-q8": SEVEN_B_IN_8_BITS,
}


def sizes_of(files: ModelFiles, shapes: Shapes, *, value_bytes: int) -> ModelSizes:
    """Compute sizes from configurations and the tensors' shapes; values of 2 bytes, 4 on a CPU.

    Raises `InvalidInput` where they describe no Moshi.
    """
    try:
        codec_bytes = codec_slot_bytes(files.codec_config)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"mimi_config_name: describes no Mimi: {error}") from error
    try:
        return _sizes_of(files.config, shapes, value_bytes, codec_bytes)
    except (KeyError, TypeError, ValueError) as error:  # a size is missing, or is no number
        raise InvalidInput(f"config.json describes no Moshi: {error}") from error


def _sizes_of(
    config: Mapping[str, Any], shapes: Shapes, value_bytes: int, codec_bytes: int
) -> ModelSizes:
    given = {
        "num_layers": 32,
        "num_heads": 32,
        "depformer_num_layers": 6,
        "context": 3000,
        **config,
    }
    given |= lm_sizes(config, shapes)
    steps = agent_steps(config, shapes)
    of_context = KEYS_AND_VALUES * value_bytes // given.get("kv_repeat", 1)
    depformer = given["depformer_num_layers"] * given["depformer_dim"] * steps
    weights = sum(
        rows_taken(name, shape[0], steps, shapes)
        * prod(shape[1:])
        * _bytes_of(name, shapes, value_bytes)
        for name, shape in shapes.items()
        if shape and takes(name, steps)
    )
    of_frame = given["num_layers"], given["dim"], given["num_heads"], value_bytes
    return ModelSizes(
        weights_bytes=weights,
        frame_bytes=kv_frame_bytes(*of_frame, int8=False),
        int8_frame_bytes=kv_frame_bytes(*of_frame, int8=True),
        slot_bytes=codec_bytes + of_context * depformer,
        context_frames=given["context"],
        voice_frames=0 if is_prompted(config, shapes) else None,
    )


def _bytes_of(name: str, shapes: Shapes, value_bytes: int) -> int:
    """Return the bytes of a value; 8-bit weights have scales (moshi 0.2.13 `QLinear`)."""
    if name.endswith("_scb"):
        return 4
    return 1 if f"{name}_scb" in shapes else value_bytes
