"""Load a model's weights: the language model's straight to their device, and the codec's.

Blocks while it reads. `shapes.py` says which tensors to take.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from moshi.models import loaders
from moshi.models.compression import MimiModel
from moshi.models.lm import LMModel
from safetensors import SafetensorError, safe_open
from torch.overrides import TorchFunctionMode

from protocol.errors import InvalidInput
from worker.engine.files import other_formats
from worker.engine.files.hub_files import Progress
from worker.engine.files.model_config import RECOGNISERS
from worker.engine.files.model_files import ModelFiles
from worker.engine.files.shapes import agent_steps, lm_sizes, rows_taken, takes
from worker.engine.files.weight_files import read_shapes, shapes_by_file
from worker.engine.network.unsupported import refuse_recogniser, refuse_unsupported
from worker.frames import FRAME_SAMPLES, RATE_HZ

REPORTED_FROM_BYTES = 2**30  # smaller models are loaded at once
REPORTS = 10

DRAWING = (torch.Tensor.uniform_, torch.Tensor.erfinv_, torch.Tensor.clamp_)  # in `trunc_normal_`
# Names of config.json that are not `LMModel`'s; "fuser" goes with the conditioners.
OTHERS = {
    *("moshi_name", "mimi_name", "mimi_config_name", "tokenizer_name", "model_type", "model_id"),
    *("lm_gen_config", "tts_config", "stt_config", "conditioners", "fuser"),
    *("lora", "lora_name", "lora_rank", "lora_scaling"),
}


class Unfilled(TorchFunctionMode):
    """Skips random values for weights on the meta device, for which torch imports its compiler."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in DRAWING or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def bare_lm(files: ModelFiles, dtype: torch.dtype, context: int | None) -> LMModel:
    """Make the language model without weights, on the meta device, for its sizes.

    Raises `InvalidInput` where config.json or the weights describe no Moshi, or one that this
    engine does not compute.
    """
    shapes = read_shapes(*files.lm)
    other_formats.refuse_by_tensors(files.name, shapes)
    try:
        overrides = lm_sizes(files.config, shapes)
        if context is not None:
            overrides["context"] = context
        with Unfilled():
            lm = loaders.get_moshi_lm(
                None,
                _lm_kwargs(files),
                device=torch.device("meta"),
                dtype=dtype,
                lm_kwargs_overrides=overrides,
            )
        if files.config.get("model_type") in RECOGNISERS:
            refuse_recogniser(lm)
        else:
            refuse_unsupported(lm)
    except Exception as error:  # LMModel raises whatever a wrong value leads to
        why = str(error) or type(error).__name__
        raise InvalidInput(
            f"MODEL={files.name!r}: config.json describes no Moshi: {why:.500}"
        ) from error
    return lm


def _lm_kwargs(files: ModelFiles) -> dict[str, Any] | None:
    """Return the arguments of `LMModel` from config.json; None is moshi's own 7B."""
    if "dim" not in files.config:
        return None
    return {name: value for name, value in files.config.items() if name not in OTHERS}


def load_lm(
    files: ModelFiles,
    device: torch.device,
    dtype: torch.dtype,
    *,
    context: int | None = None,
    progress: Progress = lambda line: None,
) -> LMModel:
    """Load the language model, tensor by tensor straight to its device: nothing is held twice.

    `progress` gets a line for every tenth of a large one.
    A depformer that also speaks for the user (PersonaPlex) is cut to the agent's codebooks.
    Raises `InvalidInput` where weights do not fit config.json, or a weight is NaN.
    """
    lm = bare_lm(files, dtype, context)
    try:
        lm.load_state_dict(dict(_tensors(files, device, dtype, progress)), assign=True)
    except torch.OutOfMemoryError:
        raise  # no fault of the file
    except (RuntimeError, SafetensorError) as error:  # a list of what differs, which may be long
        raise InvalidInput(
            f"MODEL={files.name!r}: {files.lm[0].name} does not fit config.json: {error!s:.500}"
        ) from error
    if files.lora is not None:
        lm = _adapted(lm, files, files.lora, device, dtype)
    return lm.eval().requires_grad_(False)


def _adapted(
    lm: LMModel, files: ModelFiles, lora: Path, device: torch.device, dtype: torch.dtype
) -> LMModel:
    read_shapes(lora)  # raises for a damaged file, with its name
    try:
        lm = loaders.get_lora_moshi(
            lm,
            lora,
            lora_rank=files.config.get("lora_rank", 128),  # upstream's defaults
            lora_scaling=files.config.get("lora_scaling", 2.0),
            dtype=dtype,
            device=device,
            fuse_lora=True,  # a fused one costs nothing in a step
        )
    except torch.OutOfMemoryError:
        raise
    # NotImplementedError: a linear that the file does not adapt has no weights to be moved
    except (RuntimeError, NotImplementedError) as error:
        raise InvalidInput(
            f"MODEL={files.name!r}: {lora.name} adapts another model, or another lora_rank: "
            f"{error!s:.500}"
        ) from error
    for name, tensor in lm.state_dict().items():
        _refuse_not_finite(f"{files.name!r} with {lora.name}", name, tensor)
    return lm


def _tensors(
    files: ModelFiles, device: torch.device, dtype: torch.dtype, progress: Progress
) -> Iterator[tuple[str, torch.Tensor]]:
    """Read the tensors that the model takes, each to its device, in its type."""
    by_file = shapes_by_file(*files.lm)
    shapes = {name: shape for shapes in by_file.values() for name, shape in shapes}
    steps = agent_steps(files.config, shapes)
    reading = _Reading(sum(path.stat().st_size for path in files.lm), progress)
    for path, of_file in by_file.items():
        with safe_open(path, framework="pt", device=str(device)) as file:
            for name, shape in of_file:
                if not takes(name, steps):
                    continue
                rows = shape[0] if shape else 0
                taken = rows_taken(name, rows, steps, shapes)
                tensor = file.get_tensor(name) if taken == rows else file.get_slice(name)[:taken]
                reading.add(tensor.nbytes)
                # 8-bit weights keep their scales in float32 (moshi 0.2.13 quantize.py `QLinear`).
                as_it_is = name.endswith("_scb") or not tensor.is_floating_point()
                tensor = tensor if as_it_is else tensor.to(dtype)
                _refuse_not_finite(f"{files.name!r}: {path.name}", name, tensor)
                yield name, tensor


class _Reading:
    """Reports the progress of reading a large file."""

    def __init__(self, whole: int, progress: Progress) -> None:
        self._whole, self._progress = whole, progress
        self._read, self._parts = 0, 0

    def add(self, count: int) -> None:
        self._read += count
        parts = self._read * REPORTS // self._whole
        if parts > self._parts and self._whole >= REPORTED_FROM_BYTES:
            gib, whole_gib = self._read / 2**30, self._whole / 2**30
            self._progress(f"Loading weights: {gib:.1f} of {whole_gib:.1f} GiB")
        self._parts = parts


def load_codec(files: ModelFiles, lm: LMModel, device: torch.device) -> MimiModel:
    """Load Mimi with as many codebooks as the language model hears or speaks.

    Raises `InvalidInput` where its file is damaged, or another codec's than the language model's.
    """
    read_shapes(files.codec)  # raises for a damaged file, with its name
    wanted = max(lm.dep_q, lm.n_q - lm.dep_q)
    try:
        mimi = loaders.get_mimi(files.codec, files.codec_config, device=device, num_codebooks=1)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # its parts raise whatever a wrong value leads to
        why = str(error) or type(error).__name__
        raise _refused_codec(files, f"is no Mimi of this config: {why:.500}") from error
    if mimi.total_codebooks < wanted:
        has = mimi.total_codebooks
        raise _refused_codec(files, f"has {has} codebooks, but the language model uses {wanted}")
    if mimi.cardinality != lm.card:
        raise _refused_codec(
            files,
            f"has {mimi.cardinality} codes a codebook, but the language model knows {lm.card}",
        )
    if (mimi.sample_rate, mimi.frame_size, mimi.channels) != (RATE_HZ, FRAME_SAMPLES, 1):
        raise _refused_codec(
            files,
            f"has frames of {mimi.frame_size} samples at {mimi.sample_rate} Hz in {mimi.channels} "
            f"channels; expected {FRAME_SAMPLES} at {RATE_HZ} Hz in one",
        )
    for name, tensor in mimi.state_dict().items():
        _refuse_not_finite(f"{files.name!r}: {files.codec.name}", name, tensor)
    mimi.set_num_codebooks(wanted)
    if not files.is_codec_released:
        # cuDNN rounds what goes into convolutions to TF32 unless told otherwise. That drowns the
        # pocket Moshi's voice in noise (6 dB, docs/benchmarks.md); of others nobody knows.
        torch.backends.cudnn.allow_tf32 = False
    return mimi


def _refused_codec(files: ModelFiles, why: str) -> InvalidInput:
    return InvalidInput(f"MODEL={files.name!r}: {files.codec.name} {why}")


def _refuse_not_finite(where: str, name: str, tensor: torch.Tensor) -> None:
    """Raise `InvalidInput` for a tensor with NaN or infinity, which would make every frame NaN."""
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise InvalidInput(
            f"MODEL={where}: the tensor {name} holds NaN or infinity, so the model could say "
            "nothing; the training failed, or the file is damaged: use another checkpoint"
        )
