"""Load a model from its files: Moshi's kind, PersonaPlex's, or the echo.

Runs once, before the worker registers, on the calling thread.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import psutil
import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMModel
from safetensors import SafetensorError
from sentencepiece import SentencePieceProcessor

from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.personas import load_catalogue
from worker.engine.capacity import SPARE_ROWS, MemoryPlan
from worker.engine.conversation.prompt_state import PromptReading
from worker.engine.conversation.renewal_rules import RenewalRules
from worker.engine.conversation.repertoire import REST_FRAMES, read_repertoire
from worker.engine.conversation.voices import Voice, longest_of, read_voices, usual_voice
from worker.engine.echo import echo_model
from worker.engine.files import pocket
from worker.engine.files.hub_files import Progress
from worker.engine.files.model_config import usual_sampling
from worker.engine.files.model_files import ModelFiles, find_model
from worker.engine.files.recognisers import kyutais
from worker.engine.files.shapes import is_prompted
from worker.engine.files.sizes import (
    CODEC_STATE_BYTES,
    attention_bytes,
    frame_bytes,
    weights_bytes,
)
from worker.engine.files.tokenizer import pieces_of, read_tokenizer
from worker.engine.files.weight_files import read_shapes
from worker.engine.files.weights import bare_lm, load_codec, load_lm
from worker.engine.kv_choice import KvChoice, choose
from worker.engine.model import Model
from worker.engine.network.kernels.check import why_no_kernels
from worker.engine.network.unsupported import UnsupportedModel
from worker.engine.recognition.load import FoundRecogniser, find_recogniser
from worker.engine.step import MoshiStep

REAL_TIME_PARAMETERS = 50_000_000  # a CPU core computes no more in 80 ms


def load_model(settings: Settings, progress: Progress) -> Model:
    """Load the model that `MODEL` names, ready to run; blocks, for minutes where it is large.

    `progress` gets lines for people. Raises `InvalidInput` that says what to do.
    """
    if settings.model == "echo":
        progress("Model echo: nothing to load")
        return _with_recognition(echo_model(settings.capacity), settings, progress)
    note = pocket.NOTE if settings.model == pocket.NAME else ""
    if note:
        progress(note)
    device = _device(settings)
    files = find_model(settings.model, progress, most_bytes=_free(device)[1])
    try:
        return _load(_find(files, device, settings), settings, progress, note)
    except (UnsupportedModel, SafetensorError) as error:
        raise InvalidInput(f"MODEL={files.name!r}: {error}") from error
    except torch.OutOfMemoryError as error:
        raise InvalidInput(
            f"MODEL={files.name!r}: the memory of {_free(device)[0]} ran out as it was loaded: "
            "another program took of it, or the memory plan is short; end that program, or set "
            "CAPACITY or CONTEXT lower"
        ) from error


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model whose files are here and fit each other; its language model is not loaded."""

    files: ModelFiles
    bare: LMModel  # without weights
    mimi: MimiModel
    tokenizer: SentencePieceProcessor
    voices: Mapping[str, Voice]
    prompted: bool
    device: torch.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of its weights there."""
        return _dtype(self.device)

    def reading(self, lm: LMModel, budget_bytes: int) -> PromptReading:
        """Return how it reads prompts; their states take so many bytes at most."""
        return PromptReading(
            encode=self.tokenizer.encode,
            pieces=pieces_of(lm, self.tokenizer),
            prompted=self.prompted,
            released=self.files.is_codec_released,
            voices=self.voices,
            budget_bytes=budget_bytes,
            rest_frames=REST_FRAMES if read_repertoire(self.files.config, "") else 0,
        )


def _find(files: ModelFiles, device: torch.device, settings: Settings) -> FoundModel:
    if files.config.get("quantize"):
        _check_quantized(files, on_gpu=device.type == "cuda")
    bare = bare_lm(files, _dtype(device), settings.context)
    tokenizer = read_tokenizer(files, bare.text_card)
    prompted = is_prompted(files.config, read_shapes(*files.lm))
    mimi = load_codec(files, bare, device)
    voices: dict[str, Voice] = {}
    if prompted:
        voices = read_voices(files.voices, settings.voices_dir)
    return FoundModel(files, bare, mimi, tokenizer, voices, prompted, device)


def _load(found: FoundModel, settings: Settings, progress: Progress, note: str) -> Model:
    files, mimi = found.files, found.mimi
    usual, lines = usual_sampling(files.name, files.config)
    choice, recogniser = _choose_memory(found, settings, progress)
    slots = choice.plan.slots(settings.capacity)
    plan = f"Memory plan for {choice.plan.line(slots)}"
    for line in (*lines, choice.line, plan, *_size_lines(found)):
        progress(line)
    lm = load_lm(files, found.device, found.dtype, context=settings.context, progress=progress)
    reading = found.reading(lm, choice.plan.prompts_bytes)
    rules = RenewalRules(at_share=settings.renew_at)
    step = MoshiStep(
        lm, mimi, slots, reading=reading, rules=rules, usual=usual, stored=choice.stored
    )
    # The catalogue's prompts are read now; a session with another prompt waits a moment.
    personas = load_catalogue(settings.personas_dir).values() if found.prompted else ()
    for line in step.warm(personas):
        progress(line)
    recognition = recogniser and recogniser.load(slots + SPARE_ROWS, progress)
    progress("Model loaded")
    return Model(
        name=files.name,
        step=step,
        pieces=reading.pieces,
        padding=lm.text_padding_token_id,
        voices=tuple(found.voices),
        repertoire=read_repertoire(files.config, usual_voice(found.voices) or ""),
        prompts=found.prompted,
        sampling=usual,
        prompt_tokens=step.forcing.prompts.most_tokens if found.prompted else 0,
        tokenizer=found.tokenizer.serialized_model_proto(),
        note=note,
        recognition=recognition,
        keys_and_values=choice.line,
    )


def _with_recognition(model: Model, settings: Settings, progress: Progress) -> Model:
    """Add the recogniser that STT names to a model that needs no memory on a GPU."""
    if kyutais(settings.stt, on_gpu=False) is None:
        return model
    recogniser = _find_recogniser(settings, _device(settings), progress)
    assert recogniser is not None
    rows = model.step.capacity + SPARE_ROWS
    return replace(model, recognition=recogniser.load(rows, progress))


def _choose_memory(
    found: FoundModel, settings: Settings, progress: Progress
) -> tuple[KvChoice, FoundRecogniser | None]:
    """Choose the type of keys and values, and the recogniser where it fits beside the model."""
    recogniser = _find_recogniser(settings, found.device, progress)
    choice = _choose_kv(found, settings, recogniser)
    if recogniser and settings.stt == "auto" and choice.plan.most < (settings.capacity or 1):
        progress(f"{recogniser.files.name} does not fit beside the model; expected a larger GPU")
        return _choose_kv(found, settings, None), None
    return choice, recogniser


def _find_recogniser(
    settings: Settings, device: torch.device, progress: Progress
) -> FoundRecogniser | None:
    """Find the recogniser of people's speech that runs beside the model; None: another one does."""
    name = kyutais(settings.stt, on_gpu=device.type == "cuda")
    if name is None:
        return None
    try:
        return find_recogniser(name, device, _dtype(device), progress, _free(device)[1])
    except InvalidInput as error:
        if settings.stt != "auto":
            raise
        progress(f"People's words are left to Whisper: {error}")
        return None


def _dtype(device: torch.device) -> torch.dtype:
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def _device(settings: Settings) -> torch.device:
    """Return the device to run on; on a CPU, set how many threads torch has."""
    has_cuda = torch.cuda.is_available()
    if settings.device == "cuda" and not has_cuda:
        raise InvalidInput("DEVICE='cuda': torch finds no CUDA device; set DEVICE=cpu or auto")
    if has_cuda and settings.device != "cpu":
        return torch.device("cuda")
    torch.set_num_threads(settings.torch_threads)
    return torch.device("cpu")


def _free(device: torch.device) -> tuple[str, int]:
    """Return the device's name for people, and its free bytes."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})", torch.cuda.mem_get_info(device)[0]
    return "cpu", psutil.virtual_memory().available


def _check_quantized(files: ModelFiles, *, on_gpu: bool) -> None:
    if not on_gpu:
        raise InvalidInput(f"MODEL={files.name!r}: 8-bit weights need a CUDA device")
    try:
        import bitsandbytes  # type: ignore[import-untyped]  # noqa: F401  optional, GPU only
    except ImportError as error:
        raise InvalidInput(
            f"MODEL={files.name!r}: 8-bit weights need bitsandbytes: pip install bitsandbytes"
        ) from error


def _choose_kv(
    found: FoundModel, settings: Settings, recogniser: FoundRecogniser | None
) -> KvChoice:
    """Choose the type of keys and values, with its memory plan."""
    lm, device, dtype = found.bare, found.device, found.dtype
    voice_frames = longest_of(found.voices) if found.prompted else None
    own, in_int8 = (
        plan_memory(lm, found.mimi, device, dtype, voice_frames, int8=each)
        for each in (False, True)
    )
    if recogniser is not None:
        sizes = recogniser.weights_bytes, recogniser.row_bytes
        own, in_int8 = own.with_recognition(*sizes), in_int8.with_recognition(*sizes)
    return choose(
        settings.kv_dtype,
        own,
        in_int8,
        own_type=str(dtype).removeprefix("torch."),
        capacity=settings.capacity,
        no_kernels=why_no_kernels(device, lm),
    )


def plan_memory(
    lm: LMModel,
    mimi: MimiModel,
    device: torch.device,
    dtype: torch.dtype,
    voice_frames: int | None = None,
    *,
    int8: bool = False,
) -> MemoryPlan:
    """Plan a device's memory; `voice_frames` of the longest voice, None without prompts.

    `int8`: keys and values of the language model as int8.
    """
    name, free_bytes = _free(device)
    depformer_bytes = attention_bytes(lm.depformer, dtype) if lm.depformer is not None else 0
    plan = MemoryPlan(
        device=name,
        on_gpu=device.type == "cuda",
        free_bytes=free_bytes,
        weights_bytes=weights_bytes(lm),
        frame_bytes=frame_bytes(lm, dtype, int8=int8),
        slot_bytes=depformer_bytes + attention_bytes(mimi, torch.float32) + CODEC_STATE_BYTES,
        context_frames=lm.context or 1,
        int8=int8,
    )
    return plan.with_lm_states(voice_frames)


def _size_lines(found: FoundModel) -> Iterator[str]:
    parameters = sum(each.numel() for each in found.bare.parameters())
    yield f"{parameters / 1e6:.1f} M parameters in {str(found.dtype).removeprefix('torch.')}"
    if found.device.type == "cpu" and parameters > REAL_TIME_PARAMETERS:
        yield "This model is too large to keep up on a CPU: expect gaps in every sentence"
