"""The models that benchmarks run, and the options that all of them have.

The built-in model on a CPU, or Moshi's 7B architecture with random weights in bf16 on CUDA: what a
step costs does not depend on the weights.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMModel
from moshi.models.loaders import get_mimi, get_moshi_lm

from protocol.errors import InvalidInput
from protocol.personas import Persona
from worker.engine.builtin import CODEC_CONFIG_FILE, CODEC_FILE, LM_FILE, builtin_folder
from worker.engine.capacity import MemoryPlan
from worker.engine.checkpoint import plan_memory
from worker.engine.lm_weights import Unfilled

CACHE = Path("~/.cache/moshi-rooms").expanduser()
LM_KEYS_NOT = (
    "moshi_name",
    "mimi_name",
    "mimi_config_name",
    "tokenizer_name",
    "model_type",
    "lm_gen_config",
)
PERSONA = Persona(name="bench", label="Bench")  # sampled, with the default temperatures and top-k


def options_of(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark; `doc` is the benchmark's own."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--arch", choices=["builtin", "moshi7b"], default="builtin")
    parser.add_argument("--random", action="store_true", help="random weights (moshi7b only)")
    parser.add_argument("--context", type=int, help="frames of memory; unset: the model's own")
    parser.add_argument("--threads", type=int, default=1, help="torch threads on a CPU")
    return parser


def read(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, torch.device]:
    """Read the options, and what they mean for torch."""
    options = parser.parse_args()
    if options.arch == "moshi7b" and not options.random:
        parser.error("--arch moshi7b needs --random: this benchmark loads no weights of its own")
    if options.arch == "moshi7b" and not torch.cuda.is_available():
        parser.error("--arch moshi7b needs a CUDA device, and torch finds none")
    torch.set_num_threads(options.threads)
    return options, torch.device("cuda" if options.arch == "moshi7b" else "cpu")


def plan_7b(context: int | None, device: torch.device) -> MemoryPlan:
    """The worker's own memory plan for Moshi's 7B, from sizes alone."""
    meta = torch.device("meta")
    with Unfilled():
        lm = get_moshi_lm(None, None, meta, torch.bfloat16, lm_kwargs_overrides=_sizes(context))
        mimi = get_mimi(None, None, meta)
    return plan_memory(lm, mimi, device, torch.bfloat16, prompted=False)


def load(
    options: argparse.Namespace, device: torch.device, slots: int
) -> tuple[LMModel, MimiModel]:
    """Load what the options name, for so many slots; ends with a reason where they do not fit."""
    overrides = _sizes(options.context)
    if options.arch == "moshi7b":
        try:
            plan_7b(options.context, device).slots(slots)
        except InvalidInput as error:
            raise SystemExit(f"{error} (CAPACITY is --slots or --most here)") from error
        lm = get_moshi_lm(None, None, device, torch.bfloat16, lm_kwargs_overrides=overrides)
        return lm, get_mimi(None, None, device)
    folder = builtin_folder(CACHE)
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    kwargs = {k: v for k, v in config.items() if k not in LM_KEYS_NOT}
    lm = get_moshi_lm(
        folder / LM_FILE, kwargs, device, torch.float32, lm_kwargs_overrides=overrides
    )
    codec_config = json.loads((folder / CODEC_CONFIG_FILE).read_text())
    return lm, get_mimi(folder / CODEC_FILE, codec_config, device)


def _sizes(context: int | None) -> dict[str, int]:
    return {} if context is None else {"context": context}


def name_of(options: argparse.Namespace, device: torch.device) -> str:
    """The device, for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {options.threads} thread"
