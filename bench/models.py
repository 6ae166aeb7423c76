"""The models of the benchmarks, and the options that all benchmarks have.

The pocket Moshi on a CPU, or Moshi's 7B architecture with random
weights in bf16 on CUDA: what a step costs does not depend on the weights.
"""

import argparse
import io
import json
import sys
from typing import Any

import numpy as np
import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMModel
from moshi.models.loaders import get_mimi, get_moshi_lm
from moshi.quantization.core_vq import EuclideanCodebook

from protocol.errors import InvalidInput
from protocol.personas import Persona
from worker.engine.capacity import MemoryPlan
from worker.engine.conversation.prompt_state import PromptReading
from worker.engine.conversation.voices import RecordedVoice
from worker.engine.files import pocket
from worker.engine.files.model_files import find_model
from worker.engine.files.weights import Unfilled, load_codec, load_lm
from worker.engine.kv_choice import OWN_TYPE, KvMemory
from worker.engine.load import plan_memory
from worker.engine.network.kernels.check import why_no_kernels
from worker.engine.recognition.listeners import Listeners, Recognition

ARCHS = (pocket.NAME, "moshi7b")
VOICE_FRAMES = 50  # of the voice that a prompt begins with
# Kyutai's 1B model of speech recognition, as its config.json has it.
STT_1B: dict[str, Any] = {
    "card": 2048,
    "n_q": 32,
    "dep_q": 0,
    "delays": [0] * 33,
    "dim": 2048,
    "text_card": 8000,
    "existing_text_padding_id": 3,
    "num_heads": 16,
    "num_layers": 16,
    "hidden_scale": 4.125,
    "causal": True,
    "layer_scale": None,
    "context": 750,
    "max_period": 100_000.0,
    "gating": "silu",
    "norm": "rms_norm_f32",
    "positional_embedding": "rope",
    "depformer_multi_linear": True,
    "extra_heads_num_heads": 4,
    "extra_heads_dim": 6,
}
PERSONA = Persona(name="bench", label="Bench")  # sampled, with the default temperatures and top-k


def options_of(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the common options; `doc` is the benchmark's docstring."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--arch", choices=ARCHS, default=ARCHS[0])
    parser.add_argument("--random", action="store_true", help="random weights (moshi7b only)")
    parser.add_argument("--context", type=int, help="frames of memory; unset: the model's own")
    parser.add_argument("--threads", type=int, default=1, help="torch threads on a CPU")
    parser.add_argument(
        "--kv", choices=("bf16", "int8"), default="bf16", help="keys and values (CUDA only)"
    )
    return parser


def read(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, torch.device]:
    """Read the options and set torch up."""
    options = parser.parse_args()
    if options.arch == "moshi7b" and not options.random:
        parser.error("--arch moshi7b needs --random: this benchmark loads no weights of its own")
    if options.kv == "int8" and options.arch != "moshi7b":
        parser.error("--kv int8 needs --arch moshi7b: on a CPU it saves memory and no time")
    if options.arch == "moshi7b" and not torch.cuda.is_available():
        parser.error("--arch moshi7b needs a CUDA device, and torch finds none")
    torch.set_num_threads(options.threads)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what was measured outlives a crash
    return options, torch.device("cuda" if options.arch == "moshi7b" else "cpu")


def stored(options: argparse.Namespace, device: torch.device) -> KvMemory:
    """Return how keys and values are stored: by the kernels where they run, as in a worker."""
    if device.type != "cuda":
        return OWN_TYPE
    why = why_no_kernels(device, bare_7b(options.context))
    if why is not None:
        print(f"by torch's attention: {why}")
    return KvMemory(int8=options.kv == "int8" and why is None, kernels=why is None)


def recogniser(options: argparse.Namespace, device: torch.device) -> tuple[LMModel, MimiModel]:
    """Make a recogniser with random weights: of Kyutai's 1B's sizes on CUDA, else a tiny one."""
    large = options.arch == "moshi7b"
    sizes = STT_1B if large else STT_1B | {"dim": 64, "num_heads": 4, "num_layers": 2}
    dtype = torch.bfloat16 if large else torch.float32
    lm = get_moshi_lm(None, sizes, device=device, dtype=dtype)
    return lm, random_mimi(None if large else tiny_mimi_config(), device, sizes["n_q"])


def plan_7b(
    context: int | None, device: torch.device, *, prompted: bool = False, int8: bool = False
) -> MemoryPlan:
    """Return the worker's memory plan for Moshi's 7B or PersonaPlex's, from sizes alone."""
    lm = bare_7b(context)
    with Unfilled():
        mimi = get_mimi(None, None, torch.device("meta"))
    voice_frames = VOICE_FRAMES if prompted else None
    return plan_memory(lm, mimi, device, torch.bfloat16, voice_frames, int8=int8)


def bare_7b(context: int | None) -> LMModel:
    """Return Moshi's 7B without weights."""
    sizes, meta = _sizes(context), torch.device("meta")
    with Unfilled():
        return get_moshi_lm(None, None, meta, torch.bfloat16, lm_kwargs_overrides=sizes)


def random_mimi(
    config: dict[str, Any] | None, device: torch.device, codebooks: int = 8
) -> MimiModel:
    """Make a Mimi with random weights. moshi leaves codebooks zero, and zeros cost less."""
    mimi = get_mimi(None, config, device, codebooks)
    for module in mimi.modules():
        if isinstance(module, EuclideanCodebook):
            module.embedding_sum.normal_()
    return mimi


def load(
    options: argparse.Namespace, device: torch.device, slots: int, *, prompted: bool = False
) -> tuple[LMModel, MimiModel]:
    """Load the model of the options for a number of slots; exit if they do not fit."""
    if options.arch == "moshi7b":
        try:
            int8 = options.kv == "int8"
            plan_7b(options.context, device, prompted=prompted, int8=int8).slots(slots)
        except InvalidInput as error:
            raise SystemExit(f"{error} (CAPACITY is --slots or --most here)") from error
        sizes = _sizes(options.context)
        lm = get_moshi_lm(None, None, device, torch.bfloat16, lm_kwargs_overrides=sizes)
        return lm, random_mimi(None, device)
    files = find_model(pocket.NAME, lambda _: None)
    lm = load_lm(files, device, torch.float32, context=options.context)
    return lm, load_codec(files, lm, device)


def as_prompted(voice_frames: int, frame_samples: int) -> PromptReading:
    """Return prompt parts that make a model a PersonaPlex: a voice of noise, a token per letter."""
    noise = np.random.default_rng(1).normal(size=voice_frames * frame_samples) * 0.1
    return PromptReading(
        encode=lambda text: [10 + ord(letter) % 50 for letter in text],
        prompted=True,
        voices={"bench": RecordedVoice(noise.astype(np.float32))},
    )


def with_prompt(number: int, text_frames: int) -> Persona:
    """Return a persona whose own prompt takes a number of frames."""
    tags = len("<system>  <system>")
    text = str(number).rjust(4, "x").ljust(max(4, text_frames - tags), "x")
    return Persona(name="bench", label="Bench", voice="bench", prompt=text)


def _sizes(context: int | None) -> dict[str, int]:
    return {} if context is None else {"context": context}


def tiny_mimi_config() -> dict[str, Any]:
    """Return a codec of the pocket Moshi's size with 32 codebooks."""
    config = json.loads((pocket.FOLDER / "mimi.json").read_text(encoding="utf-8"))
    config["quantizer"] |= {"n_q": STT_1B["n_q"], "bins": STT_1B["card"]}
    return config


def as_recognition(listeners: Listeners) -> Recognition:
    """Return what an engine needs of a recogniser whose words are not read."""
    return Recognition("bench", listeners, str, bool, 3, 0, 0.5, has_pauses=True)


def name_of(options: argparse.Namespace, device: torch.device) -> str:
    """Return the device's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {options.threads} thread"
