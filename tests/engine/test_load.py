"""Loading: folders of both kinds in their released format, cut, adapted, overridden."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sphn
import torch
from moshi.models.lm import LMGen, LMModel
from moshi.utils.compile import no_compile
from moshi.utils.quantize import QLinear
from safetensors.torch import save_file
from sentencepiece import SentencePieceProcessor

from harness.servers import GivenSettings
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.personas import Persona
from tests.engine import folders
from tests.engine.conversation.test_voices import tone
from tests.engine.solo import alone
from tests.engine.test_step import GREEDY, sounds, talk
from worker.engine.capacity import longest_prompt
from worker.engine.files import weights
from worker.engine.files.model_files import find_model
from worker.engine.files.weights import bare_lm, load_codec, load_lm
from worker.engine.load import load_model, plan_memory
from worker.engine.step import MoshiStep

ANNA = Persona(name="anna", label="Anna")
CPU = torch.device("cpu")


def ignore(line: str) -> None:
    """Ignore a line of progress."""


def settings(model: Path | str, **others: Any) -> Settings:
    """Return settings for this model on a CPU; no environment is read."""
    return GivenSettings(model=str(model), device="cpu", **others)


@pytest.fixture(scope="module")
def uncut() -> LMModel:
    """Return PersonaPlex's language model as it is published: 16 depformer steps."""
    return folders.random_lm(seed=5, dep_q=16)


@pytest.fixture(scope="module")
def personaplex(tmp_path_factory: pytest.TempPathFactory, uncut: LMModel) -> Path:
    """Return a folder of PersonaPlex's kind."""
    return folders.personaplex_folder(tmp_path_factory.mktemp("models") / "personaplex", uncut)


def load(folder: Path, *, context: int | None = 40) -> LMModel:
    """Return the language model of a folder, in float32."""
    return load_lm(find_model(str(folder), ignore), CPU, torch.float32, context=context)


def test_a_moshi_folder_becomes_a_running_model(moshi: Path) -> None:
    """A Moshi's folder gives a step of the asked capacity with output of the right shape."""
    model = load_model(settings(moshi, capacity=2), ignore)
    model.step.join(1, ANNA)

    for _ in range(3):
        out = model.step.run(np.zeros((2, 1920), np.float32), np.array([False, True]))

    assert model.step.capacity == 2
    assert out.pcm.shape == (2, 1920)
    assert not model.prompts
    assert out.valid.tolist() == [False, True]


def test_weights_arrive_as_they_are_in_the_file(moshi: Path) -> None:
    """Every parameter equals the file's bfloat16 value, in float32 on a CPU."""
    asked = folders.random_lm().state_dict()

    loaded = load(moshi).state_dict()

    assert loaded.keys() == asked.keys()
    for name, tensor in loaded.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, asked[name].to(torch.bfloat16).float())


def test_a_personaplex_folder_becomes_a_running_model(personaplex: Path) -> None:
    """A PersonaPlex reads prompts, has the archive's voices, and eight depformer steps."""
    model = load_model(settings(personaplex, capacity=1, context=400), ignore)
    model.step.join(0, ANNA)

    for _ in range(3):
        out = model.step.run(np.zeros((1, 1920), np.float32), np.array([True]))

    assert out.valid.tolist() == [True]
    assert model.voices == ("NATF0", "NATM1", "VARF4")
    assert model.prompts
    assert load(personaplex).dep_q == 8


def test_a_config_without_sizes_means_those_of_the_weights(personaplex: Path) -> None:
    """Without sizes in config.json shapes give them, and all else is that of moshi's own 7B."""
    lm = load(personaplex, context=None)

    assert (lm.dim, lm.card, lm.text_card, lm.n_q) == (64, folders.CARD, folders.TEXT_CARD, 16)
    assert (len(lm.transformer.layers), len(lm.depformer.layers)) == (2, 2)
    assert lm.delays == [0, 0, *[1] * 7, 0, *[1] * 7]
    assert lm.context == 3000


def test_a_personaplex_is_known_by_its_weights(personaplex: Path, tmp_path: Path) -> None:
    """A PersonaPlex whose config.json has no type is cut and reads prompts."""
    older = shutil.copytree(personaplex, tmp_path / "older")
    (older / "config.json").write_text(json.dumps({"mimi_config_name": "mimi.json"}))

    model = load_model(settings(older, capacity=1, context=400), ignore)

    assert model.prompts
    assert load(older).dep_q == 8


def test_the_cut_gives_the_tokens_of_the_uncut(personaplex: Path, uncut: LMModel) -> None:
    """The 8 steps that are kept say, greedily, what they said among 16."""
    generator = torch.Generator().manual_seed(1)
    columns = torch.randint(0, folders.CARD, (30, 1, 17, 1), generator=generator)

    kept = greedy_tokens(load(personaplex), columns)
    whole = greedy_tokens(uncut, columns)

    assert (kept.shape, whole.shape) == ((30, 8), (30, 16))
    assert torch.equal(kept, whole[:, :8])
    assert len(set(kept[:, 3].tolist())) > 5


def greedy_tokens(lm: LMModel, columns: torch.Tensor) -> torch.Tensor:
    """Return upstream's depformer's codes after these columns `[T, 1, 17, 1]`: `[T, dep_q]`."""
    lm_gen = LMGen(lm, use_sampling=False)
    tokens: list[torch.Tensor] = []
    with no_compile(), torch.no_grad(), lm.streaming(1):
        for column in columns:
            hidden, logits = lm.forward_text(column)
            tokens.append(lm_gen.depformer_step(logits[:, 0, 0].argmax(dim=-1), hidden)[0])
    return torch.stack(tokens)


def test_the_setting_context_replaces_the_configs(moshi: Path) -> None:
    """CONTEXT replaces the context of config.json."""
    assert load(moshi, context=None).context == 40
    assert load(moshi, context=20).context == 20


def test_control_tokens_have_no_piece(moshi: Path) -> None:
    """Padding, end of padding and control ids have no piece; every other id has its own."""
    pieces = load_model(settings(moshi, capacity=1), ignore).pieces

    assert pieces[:4] == (None,) * 4
    assert "▁hello" in pieces
    assert len(pieces) == folders.TEXT_CARD
    assert None not in pieces[4:]


def test_a_lora_is_fused_into_what_it_adapts(moshi: Path, tmp_path: Path) -> None:
    """Every linear becomes W + scaling · B A, and stays a plain linear."""
    base = load(moshi)
    linears = {
        name: each for name, each in base.named_modules() if isinstance(each, torch.nn.Linear)
    }
    generator = torch.Generator().manual_seed(2)
    lora: dict[str, torch.Tensor] = {}
    for name, linear in linears.items():
        lora[f"{name}.lora_A.weight"] = torch.randn(4, linear.in_features, generator=generator)
        lora[f"{name}.lora_B.weight"] = torch.randn(linear.out_features, 4, generator=generator)
    adapted = folders.moshi_folder(
        tmp_path,
        folders.random_lm(),
        lora=True,
        lora_name="lora.safetensors",
        lora_rank=4,
        lora_scaling=0.5,
    )
    save_file(lora, adapted / "lora.safetensors")

    fused = dict(load(adapted).named_modules())

    for name, linear in linears.items():
        change = 0.5 * lora[f"{name}.lora_B.weight"] @ lora[f"{name}.lora_A.weight"]
        torch.testing.assert_close(fused[name].weight, linear.weight + change)
        assert type(fused[name]) is torch.nn.Linear


def test_eight_bit_weights_give_upstreams_tokens(
    moshi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of bitsandbytes' 8-bit weights says what upstream says with them.

    A step of one once failed: its linears have no sizes, and its keys are float16.
    """
    # bitsandbytes' optimizers import torch's compiler, for 10 s; nothing of them is used.
    monkeypatch.setattr(torch, "compile", lambda fn, **_: fn)
    folder = tmp_path / "q8"
    shutil.copytree(moshi, folder)
    config = json.loads((folder / "config.json").read_text()) | {"quantize": True}
    (folder / "config.json").write_text(json.dumps(config))
    published = folders.random_lm(seed=4, eight_bit=True)
    save_file(published.state_dict(), folder / folders.LM_NAME)
    files = find_model(str(folder), ignore)
    lm = load_lm(files, CPU, torch.float32, context=40)
    mimi = load_codec(files, lm, CPU)
    step = MoshiStep(lm, mimi, 2)
    step.join(1, GREEDY)
    heard = sounds(61, 12)[:, 0]
    call = talk(step, 1, heard)

    assert sum(type(module) is QLinear for module in lm.modules()) > 10
    assert call.wrote == alone(lm, mimi, list(heard)).wrote
    assert len(set(call.wrote)) > 3


def test_the_memory_plan_is_reported_before_loading(moshi: Path) -> None:
    """The line of the memory plan comes before the line that the model is loaded."""
    lines: list[str] = []

    load_model(settings(moshi, capacity=3), lines.append)

    plan = next(at for at, line in enumerate(lines) if line.startswith("Memory plan for cpu"))
    assert "3 sessions" in lines[plan]
    assert lines.index("Model loaded") > plan


def test_loading_a_large_model_reports_its_progress(
    moshi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """About each tenth of the weights is a line of progress."""
    monkeypatch.setattr(weights, "REPORTED_FROM_BYTES", 1)
    lines: list[str] = []
    load_lm(find_model(str(moshi), ignore), CPU, torch.float32, context=40, progress=lines.append)

    assert 5 <= len(lines) <= 10
    assert set(lines) == {"Loading weights: 0.0 of 0.0 GiB"}


def test_the_plan_of_a_slot_has_its_longest_prompt(moshi: Path) -> None:
    """A slot of a prompted model is planned with its longest prompt, which renewals need.

    Without it a GPU full of custom prompts once ran out of memory; then it was planned as 300
    frames whatever the voice, and prompts were cut.
    """
    files = find_model(str(moshi), ignore)
    lm = bare_lm(files, torch.float32, 3000)
    mimi = load_codec(files, lm, CPU)
    bare, short, long = (
        plan_memory(lm, mimi, CPU, torch.float32, voice_frames).slot_bytes
        for voice_frames in (None, 51, 188)
    )

    frame_bytes = 2 * 2 * 64 * 4  # keys and values, layers, dim, float32
    assert short - bare == (51 + 6 + 500 + 6) * frame_bytes
    assert long - bare == (188 + 6 + 500 + 6) * frame_bytes
    assert longest_prompt(3000, 188) == 188 + 6 + 500 + 6


def test_a_prompted_model_has_its_limit_of_a_prompt_and_its_tokenizer(
    personaplex: Path, moshi: Path, tmp_path: Path
) -> None:
    """The limit in tokens follows from context and longest voice; Moshi's is 0."""
    sphn.write_wav(str(tmp_path / "anna.wav"), tone(8.0), 24_000)  # 100 frames
    model = load_model(settings(personaplex, context=800, voices_dir=tmp_path), ignore)
    unprompted = load_model(settings(moshi), ignore)

    assert model.prompt_tokens == 800 // 2 - 100 - 12
    assert SentencePieceProcessor(model_proto=model.tokenizer).vocab_size() == folders.TEXT_CARD
    assert unprompted.prompt_tokens == 0


def test_loading_a_folder_prints_nothing(moshi: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Loading writes nothing to stdout or stderr."""
    load_model(settings(moshi, capacity=1), ignore)

    assert capfd.readouterr() == ("", "")


def test_loading_uses_the_threads_of_the_settings(moshi: Path) -> None:
    """TORCH_THREADS sets torch's threads on a CPU."""
    load_model(settings(moshi, capacity=1, torch_threads=2), ignore)
    two = torch.get_num_threads()
    load_model(settings(moshi, capacity=1, torch_threads=1), ignore)

    assert (two, torch.get_num_threads()) == (2, 1)


def test_the_echo_needs_no_file() -> None:
    """MODEL=echo loads without files."""
    assert load_model(settings("echo", capacity=3), ignore).step.capacity == 3


def test_a_depformer_of_the_agent_alone_is_not_cut(moshi: Path) -> None:
    """A depformer of 8 steps for 16 codebooks stays as it is."""
    assert load(moshi).dep_q == json.loads((moshi / "config.json").read_text())["dep_q"] == 8


@pytest.mark.parametrize(
    "place", ["files.weights._tensors", "files.weights.loaders.get_mimi", "load.MoshiStep"]
)
def test_memory_that_runs_out_while_it_loads_is_no_fault_of_the_model(
    moshi: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Whichever part was being loaded, one sentence says what ran out and which settings help."""

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(f"worker.engine.{place}", full)

    with pytest.raises(
        InvalidInput, match=r"the memory of cpu ran out .* CAPACITY or CONTEXT lower"
    ):
        load_model(settings(moshi), ignore)
