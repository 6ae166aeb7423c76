"""The memory that Kyutai's recognition of people's speech needs beside the model, and a codec's.

The worker counts the same from the loaded files (`worker.engine.recognition.load`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from protocol.errors import InvalidInput
from worker.engine.capacity import kv_frame_bytes
from worker.engine.files.model_config import RECOGNISERS
from worker.engine.files.model_files import ModelFiles, find_model
from worker.engine.files.weight_files import Shapes, read_shapes

MIMI_BYTES = 4 * 79_308_609  # its parameters, in float32
MIMI_TRANSFORMER = {"num_layers": 8, "d_model": 512, "context": 250}
CODEC_STATE_BYTES = 4 << 20  # of a slot, as the worker counts it beside keys and values


@dataclass(frozen=True, slots=True)
class RecogniserSizes:
    """Bytes of the weights, and of each person's row."""

    weights_bytes: int
    row_bytes: int
    is_about: bool = False  # its files are not here


def codec_slot_bytes(config: Mapping[str, Any] | None, *, transformers: int = 2) -> int:
    """Return a slot's bytes of a codec: keys and values in float32, and the worker's own state.

    `config` is the codec's file, `None` for Mimi's own. Who only listens has one of `transformers`.
    """
    given = MIMI_TRANSFORMER if config is None else config["transformer"]
    of_frame = kv_frame_bytes(given["num_layers"], given["d_model"], 1, 4, int8=False)
    return transformers * given["context"] * of_frame + CODEC_STATE_BYTES


def _about(parameters: int, context: int, layers: int, dim: int) -> RecogniserSizes:
    row_bytes = codec_slot_bytes(None, transformers=1)
    row_bytes += context * kv_frame_bytes(layers, dim, 1, 2, int8=False)
    return RecogniserSizes(2 * parameters + MIMI_BYTES, row_bytes, is_about=True)


STT_1B = _about(989_253_632, 750, 16, 2048)  # kyutai/stt-1b-en_fr
STT_2_6B = _about(2_600_000_000, 375, 48, 2048)  # kyutai/stt-2.6b-en, by its name and config.json


def recogniser_sizes(stt: str) -> RecogniserSizes:
    """Return the sizes of a folder or repository: of its files where they are here, else about."""
    try:
        return _sizes_of(find_model(stt, lambda _: None, download=False, model_types=RECOGNISERS))
    except (InvalidInput, KeyError):  # the worker says what is wrong with its files
        return STT_2_6B if "2.6b" in stt else STT_1B


def _sizes_of(files: ModelFiles) -> RecogniserSizes:
    config = files.config
    of_frame = kv_frame_bytes(config["num_layers"], config["dim"], 1, 2, int8=False)
    return RecogniserSizes(
        2 * _count(read_shapes(*files.lm)) + 4 * _count(read_shapes(files.codec)),
        codec_slot_bytes(files.codec_config, transformers=1) + config["context"] * of_frame,
    )


def _count(shapes: Shapes) -> int:
    return sum(map(prod, shapes.values()))
