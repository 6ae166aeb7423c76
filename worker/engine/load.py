"""Load a model from its files: Moshi's kind, PersonaPlex's, or the echo.

Runs once, before the worker registers, on the calling thread.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import psutil
import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMModel
from safetensors import SafetensorError

from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.personas import load_catalogue
from worker.engine.capacity import SPARE_ROWS, MemoryPlan
from worker.engine.conversation.prompt_state import PromptReading
from worker.engine.conversation.renewal import RenewalRules
from worker.engine.conversation.repertoire import read_repertoire
from worker.engine.conversation.voices import Voice, longest_of, read_voices, usual_voice
from worker.engine.echo import echo_model
from worker.engine.files import pocket
from worker.engine.files.model_config import usual_sampling
from worker.engine.files.model_files import CODEC_NAME, ModelFiles, find_model
from worker.engine.files.recognisers import kyutais
from worker.engine.files.shapes import is_prompted
from worker.engine.files.sizes import (
    CODEC_STATE_BYTES,
    attention_bytes,
    frame_bytes,
    head_dim,
    weights_bytes,
)
from worker.engine.files.tokenizer import pieces_of, read_tokenizer
from worker.engine.files.weight_files import read_shapes
from worker.engine.files.weights import bare_lm, load_codec, load_lm
from worker.engine.kv_choice import KvChoice, choose
from worker.engine.model import Model
from worker.engine.network.ring_check import why_no_kernels
from worker.engine.network.unsupported import UnsupportedModel
from worker.engine.recognition.load import FoundRecogniser, find_recogniser
from worker.engine.step import MoshiStep

Progress = Callable[[str], None]

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
    return _assemble(files, device, settings, progress, note)


def _assemble(
    files: ModelFiles, device: torch.device, settings: Settings, progress: Progress, note: str
) -> Model:
    dtype = _dtype(device)
    if files.config.get("quantize"):
        _check_quantized(files, on_gpu=device.type == "cuda")
    bare = bare_lm(files, dtype, settings.context)
    tokenizer = read_tokenizer(files, bare.text_card)
    prompted = is_prompted(files.config, read_shapes(*files.lm))
    usual, lines = usual_sampling(files.name, files.config)
    for line in lines:
        progress(line)
    try:
        mimi = load_codec(files, bare, device)
        voices: dict[str, Voice] = {}
        if prompted:
            voices = read_voices(files.voices, settings.voices_dir, mimi.sample_rate)
        voice_frames = longest_of(voices, mimi.frame_size) if prompted else None
        choice, recogniser = _choose_memory(bare, mimi, device, voice_frames, settings, progress)
        plan = choice.plan
        slots = plan.slots(settings.capacity)
        progress(choice.line)
        progress(f"Memory plan for {plan.line(slots)}")
        for line in _size_lines(bare, device, dtype):
            progress(line)
        lm = load_lm(files, device, dtype, context=settings.context, progress=progress)
        reading = PromptReading(
            encode=tokenizer.encode,
            pieces=pieces_of(lm, tokenizer),
            prompted=prompted,
            # Kyutai's own codec, which all its models share
            released=files.codec.name == CODEC_NAME and files.codec_config is None,
            voices=voices,
            budget_bytes=plan.prompts_bytes,
        )
        rules = RenewalRules(at_share=settings.renew_at)
        step = MoshiStep(
            lm, mimi, slots, reading=reading, rules=rules, usual=usual, stored=choice.stored
        )
        # The catalogue's prompts are read now; a session with another prompt waits a moment.
        personas = load_catalogue(settings.personas_dir).values() if prompted else ()
        for line in step.warm(personas):
            progress(line)
    except (UnsupportedModel, SafetensorError) as error:
        raise InvalidInput(f"MODEL={files.name!r}: {error}") from error
    recognition = recogniser and recogniser.load(slots + SPARE_ROWS, progress)
    progress("Model loaded")
    return Model(
        name=files.name,
        step=step,
        pieces=reading.pieces,
        padding=lm.text_padding_token_id,
        voices=tuple(voices),
        repertoire=read_repertoire(files.config, usual_voice(voices) or ""),
        prompts=prompted,
        sampling=usual,
        prompt_tokens=step.forcing.prompts.most_tokens if prompted else 0,
        tokenizer=tokenizer.serialized_model_proto(),
        note=note,
        recognition=recognition,
        keys_and_values=choice.line,
        sample_rate_hz=mimi.sample_rate,
        frame_samples=mimi.frame_size,
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
    lm: LMModel,
    mimi: MimiModel,
    device: torch.device,
    voice_frames: int | None,
    settings: Settings,
    progress: Progress,
) -> tuple[KvChoice, FoundRecogniser | None]:
    """Choose the type of keys and values, and the recogniser where it fits beside the model."""
    recogniser = _find_recogniser(settings, device, progress)
    choice = _choose_kv(lm, mimi, device, voice_frames, settings, recogniser)
    if recogniser and settings.stt == "auto" and choice.plan.most < (settings.capacity or 1):
        progress(f"{recogniser.files.name} does not fit beside the model; expected a larger GPU")
        return _choose_kv(lm, mimi, device, voice_frames, settings, None), None
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
    lm: LMModel,
    mimi: MimiModel,
    device: torch.device,
    voice_frames: int | None,
    settings: Settings,
    recogniser: FoundRecogniser | None,
) -> KvChoice:
    """Choose the type of keys and values, with its memory plan."""
    dtype = _dtype(device)
    own, in_int8 = (
        plan_memory(lm, mimi, device, dtype, voice_frames, int8=each) for each in (False, True)
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
        no_kernels=why_no_kernels(device, dtype, head_dim(lm)),
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


def _size_lines(lm: LMModel, device: torch.device, dtype: torch.dtype) -> Iterator[str]:
    parameters = sum(each.numel() for each in lm.parameters())
    yield f"{parameters / 1e6:.1f} M parameters in {str(dtype).removeprefix('torch.')}"
    if device.type == "cpu" and parameters > REAL_TIME_PARAMETERS:
        yield "This model is too large to keep up on a CPU: expect gaps in every sentence"
