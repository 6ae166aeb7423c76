"""The language model: its sizes before it is loaded, its weights straight to where they belong.

Blocks while it reads. `checkpoint.py` calls it, `shapes.py` says which tensors to take.
"""

from pathlib import Path
from typing import Any

import torch
from moshi.models import loaders
from moshi.models.lm import LMModel
from safetensors import safe_open
from torch.overrides import TorchFunctionMode

from protocol.errors import InvalidInput
from worker.engine.model_files import ModelFiles, Progress
from worker.engine.shapes import agent_steps, lm_sizes, read_shapes, rows_taken, takes

TOLD_FROM_BYTES = 2**30  # smaller ones are there at once
TOLD_PARTS = 10

DRAWING = (torch.Tensor.uniform_, torch.Tensor.erfinv_, torch.Tensor.clamp_)  # in `trunc_normal_`


class Unfilled(TorchFunctionMode):
    """No random values for weights that lie nowhere: to draw them, torch imports its compiler."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in DRAWING or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def bare_lm(files: ModelFiles, dtype: torch.dtype, context: int | None) -> LMModel:
    """The language model without weights, on the meta device: its sizes, for free.

    Raises `InvalidInput` where config.json or the weights describe no Moshi.
    """
    overrides = lm_sizes(files.config, read_shapes(files.lm))
    if context is not None:
        overrides["context"] = context
    try:
        with Unfilled():
            return loaders.get_moshi_lm(
                None,
                _lm_kwargs(files),
                device=torch.device("meta"),
                dtype=dtype,
                lm_kwargs_overrides=overrides,
            )
    except (TypeError, AssertionError) as error:
        raise InvalidInput(
            f"MODEL={files.name!r}: config.json describes no Moshi: {error}"
        ) from error


def _lm_kwargs(files: ModelFiles) -> dict[str, Any] | None:
    """What `LMModel` takes of config.json; None is moshi's own 7B."""
    if "dim" not in files.config:
        return None
    others = {"moshi_name", "mimi_name", "mimi_config_name", "tokenizer_name", "model_type"}
    others |= {"lm_gen_config", "tts_config", "stt_config", "model_id", "conditioners", "fuser"}
    others |= {"lora", "lora_name", "lora_rank", "lora_scaling"}
    return {name: value for name, value in files.config.items() if name not in others}


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
    Raises `InvalidInput` where weights and config.json do not belong together.
    """
    lm = bare_lm(files, dtype, context)
    try:
        lm.load_state_dict(_tensors(files, device, dtype, progress), assign=True)
    except RuntimeError as error:  # load_state_dict's list of what differs, which may be long
        raise InvalidInput(
            f"MODEL={files.name!r}: {files.lm.name} does not fit config.json: {error!s:.500}"
        ) from error
    if files.lora is not None:
        lm = _adapted(lm, files, files.lora, device, dtype)
    return lm.eval().requires_grad_(False)


def _adapted(
    lm: LMModel, files: ModelFiles, lora: Path, device: torch.device, dtype: torch.dtype
) -> LMModel:
    try:
        return loaders.get_lora_moshi(
            lm,
            lora,
            lora_rank=files.config.get("lora_rank", 128),  # upstream's defaults
            lora_scaling=files.config.get("lora_scaling", 2.0),
            dtype=dtype,
            device=device,
            fuse_lora=True,  # a fused one costs nothing in a step
        )
    except RuntimeError as error:
        raise InvalidInput(
            f"MODEL={files.name!r}: {lora.name} adapts another model: {error!s:.500}"
        ) from error


def _tensors(
    files: ModelFiles, device: torch.device, dtype: torch.dtype, progress: Progress
) -> dict[str, torch.Tensor]:
    """The tensors that the model takes, each read to its device and set to its type on the way."""
    shapes = read_shapes(files.lm)
    steps = agent_steps(shapes)
    tensors: dict[str, torch.Tensor] = {}
    told = _Told(files.lm.stat().st_size, progress)
    with safe_open(files.lm, framework="pt", device=str(device)) as file:
        for name, (rows, *_) in shapes.items():
            if not takes(name, steps):
                continue
            taken = rows_taken(name, rows, steps, shapes)
            tensor = file.get_tensor(name) if taken == rows else file.get_slice(name)[:taken]
            # 8-bit weights keep their scales in float32 (moshi 0.2.13 quantize.py `QLinear`).
            as_it_is = name.endswith("_scb") or not tensor.is_floating_point()
            tensors[name] = tensor if as_it_is else tensor.to(dtype)
            told.add(tensor.nbytes)
    return tensors


class _Told:
    """How far the reading of a large file is, in lines for people."""

    def __init__(self, whole: int, progress: Progress) -> None:
        self._whole, self._progress = whole, progress
        self._read, self._parts = 0, 0

    def add(self, count: int) -> None:
        """So many bytes more were read."""
        self._read += count
        parts = self._read * TOLD_PARTS // self._whole
        if parts > self._parts and self._whole >= TOLD_FROM_BYTES:
            gib, whole_gib = self._read / 2**30, self._whole / 2**30
            self._progress(f"Loading weights: {gib:.1f} of {whole_gib:.1f} GiB")
        self._parts = parts
