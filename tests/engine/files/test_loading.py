"""Loading published models: every layout that upstream loads; what cannot run is refused."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from protocol.errors import InvalidInput
from protocol.personas import Persona
from protocol.sampling import Sampling, UsualSampling
from tests.engine import folders
from tests.engine.recognition import folder as recognisers
from tests.engine.test_load import ANNA, CPU, ignore, settings
from tests.engine.test_step import sounds, talk
from tests.engine.tiny import mimi_config
from worker.engine.files.model_files import MissingFile, find_model
from worker.engine.files.weights import bare_lm, load_codec, load_lm
from worker.engine.load import load_model
from worker.engine.step import MoshiStep

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 384644900\n"
INDEX = folders.LM_NAME + ".index.json"


@pytest.fixture
def moshi(published: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder that a test may change."""
    return shutil.copytree(published, tmp_path / "moshi")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the language model's tensors as they are loaded."""
    return load_lm(find_model(str(folder), ignore), CPU, torch.float32, context=40).state_dict()


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Check that both have the same tensors by the same names."""
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def shard(folder: Path, pieces: int = 3) -> None:
    """Split the weights as `huggingface_hub.save_torch_model` does: pieces and an index."""
    tensors = load_file(folder / folders.LM_NAME)
    (folder / folders.LM_NAME).unlink()
    places: dict[str, str] = {}
    for piece in range(pieces):
        file = f"model-{piece + 1:05}-of-{pieces:05}.safetensors"
        part = {name: tensors[name] for name in sorted(tensors)[piece::pieces]}
        save_file(part, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(part, file)
    total = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / INDEX).write_text(json.dumps(index))


def test_only_kyutais_own_codec_may_be_rounded(
    moshi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading any codec but Kyutai's own turns TF32 off, which drowns the pocket Moshi's voice."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    files = find_model(str(moshi), ignore)
    load_codec(files, bare_lm(files, torch.float32, None), CPU)

    assert not torch.backends.cudnn.allow_tf32
    assert not files.is_codec_released
    assert replace(files, codec_config=None).is_codec_released


def test_weights_in_several_files_are_one_model(moshi: Path, published: Path) -> None:
    """The index of a model in pieces is read, whether or not config.json names it."""
    shard(moshi)
    assert_equal(weights(moshi), weights(published))

    folders.configure(moshi, moshi_name=INDEX)
    assert_equal(weights(moshi), weights(published))


def test_a_personaplex_in_several_files_is_cut_like_one_in_one_file(tmp_path: Path) -> None:
    """The agent's rows are found from the shapes of all pieces together."""
    whole = folders.personaplex_folder(tmp_path / "whole", folders.random_lm(dep_q=16))
    pieces = shutil.copytree(whole, tmp_path / "pieces")
    shard(pieces)

    assert_equal(weights(pieces), weights(whole))


def test_a_missing_or_short_piece_is_named(moshi: Path) -> None:
    """A piece that is cut short, or missing, is named."""
    shard(moshi)
    piece = moshi / "model-00002-of-00003.safetensors"
    content = piece.read_bytes()
    piece.write_bytes(content[:-1])
    with pytest.raises(InvalidInput, match=rf"{piece.name}: .* has {len(content) - 1} of"):
        weights(moshi)
    piece.unlink()

    with pytest.raises(MissingFile, match=f"{piece.name} is missing"):
        weights(moshi)


@pytest.mark.parametrize(
    "places", [{"weight_map": {"a": "../a.safetensors"}}, {"weight_map": ["a"]}, {}]
)
def test_an_index_names_only_files_beside_it(moshi: Path, places: dict[str, Any]) -> None:
    """An index with a path in it, or of another form, is refused."""
    shard(moshi)
    (moshi / INDEX).write_text(json.dumps(places))

    with pytest.raises(InvalidInput, match=r"index\.json: expected 'weight_map'"):
        weights(moshi)


def test_a_full_fine_tunings_folder_loads(moshi: Path, published: Path) -> None:
    """A fine-tuning's consolidated.safetensors, with one tensor per step of attention, loads."""
    (moshi / folders.LM_NAME).unlink()
    split = {
        name: tensor.to(torch.bfloat16) for name, tensor in folders.random_lm().state_dict().items()
    }
    save_file(split, moshi / "consolidated.safetensors")
    folders.configure(moshi, lora=False, lora_rank=64, lora_scaling=2.0)

    assert_equal(weights(moshi), weights(published))


def test_a_lora_that_was_merged_in_needs_no_file(moshi: Path, published: Path) -> None:
    """A fine-tuning with lora=true whose LoRA is already merged loads without a LoRA file."""
    (moshi / folders.LM_NAME).rename(moshi / "consolidated.safetensors")
    folders.configure(moshi, lora=True, lora_rank=64, lora_scaling=2.0)

    assert_equal(weights(moshi), weights(published))


@pytest.mark.parametrize(
    ("file", "key"),
    [(folders.CODEC_NAME, "mimi_name"), (folders.TOKENIZER_NAME, "tokenizer_name")],
)
def test_a_missing_codec_or_tokenizer_names_the_released_one(
    moshi: Path, file: str, key: str
) -> None:
    """A folder without codec or tokenizer is refused with the field that names the released."""
    (moshi / file).unlink()

    with pytest.raises(MissingFile, match=rf'set "{key}" in .* "hf://kyutai/.*/{file}"'):
        find_model(str(moshi), ignore)


def test_a_file_anywhere_on_this_machine_may_be_named(moshi: Path, tmp_path: Path) -> None:
    """config.json may name a file as file:// and an absolute path, as upstream reads it."""
    elsewhere = tmp_path / "elsewhere.safetensors"
    (moshi / folders.LM_NAME).rename(elsewhere)
    folders.configure(moshi, moshi_name=f"file://{elsewhere}")

    assert find_model(str(moshi), ignore).lm == (elsewhere,)
    elsewhere.unlink()
    with pytest.raises(MissingFile, match=f"file://{elsewhere} is missing"):
        find_model(str(moshi), ignore)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("file://model.safetensors", r"expected file:// and an absolute path"),
        ("hf://kyutai/model.safetensors", r"expected hf://owner/repository/file"),
    ],
)
def test_a_malformed_address_of_a_file_is_refused(moshi: Path, name: str, message: str) -> None:
    """A malformed file:// or hf:// address is refused with its correct form."""
    folders.configure(moshi, moshi_name=name)

    with pytest.raises(InvalidInput, match=f"config.json names '{name}': {message}"):
        find_model(str(moshi), ignore)


@pytest.mark.parametrize("about", [None, "0f1e", {"sig": "0f1e", "epoch": 1}])
def test_a_model_loads_whatever_its_id_is(moshi: Path, about: object) -> None:
    """A `model_id` of any type is accepted, as upstream accepts it."""
    folders.configure(moshi, model_id=about, moshi_name=None, lora_name=None)

    assert not load_model(settings(moshi, capacity=1), ignore).prompts


def broken_mimi(folder: Path, **sizes: Any) -> None:
    """Give a folder a codec of other sizes, which is consistent in itself."""
    config = mimi_config()
    for part, changes in sizes.items():
        config[part] = config[part] | changes if isinstance(changes, dict) else changes
    with torch.random.fork_rng(devices=[]):
        mimi = folders.loaders.get_mimi(None, config, num_codebooks=1)
    save_file(mimi.state_dict(), folder / folders.CODEC_NAME)
    (folder / "mimi.json").write_text(json.dumps(config))


def cut(file: str) -> Callable[[Path], None]:
    """Cut a file of the folder short."""

    def change(folder: Path) -> None:
        path = folder / file
        path.write_bytes(path.read_bytes()[:-100])

    return change


def point(file: str) -> Callable[[Path], None]:
    """Put git-lfs's pointer in a file's place."""
    return lambda folder: (folder / file).write_text(LFS) and None


def spoil(file: str, value: float) -> Callable[[Path], None]:
    """Put one NaN or infinite weight into a file."""

    def change(folder: Path) -> None:
        tensors = load_file(folder / file)
        name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
        tensors[name].view(-1)[-1] = value
        save_file(tensors, folder / file)

    return change


def rename_tensors(old: str, new: str) -> Callable[[Path], None]:
    """Give the language model's tensors the names of another program."""

    def change(folder: Path) -> None:
        tensors = load_file(folder / folders.LM_NAME)
        save_file(
            {name.replace(old, new): tensor for name, tensor in tensors.items()},
            folder / folders.LM_NAME,
        )

    return change


def to_gguf(folder: Path) -> None:
    """Leave the folder with what kyutai/moshiko-candle-q8 has."""
    (folder / folders.LM_NAME).unlink()
    (folder / "model.q8.gguf").write_bytes(b"GGUF\x03\x00")


def with_lora(folder: Path, **tensors: torch.Tensor) -> None:
    """Make a folder name a LoRA of these tensors."""
    folders.configure(folder, lora=True, lora_rank=4)
    save_file(tensors or {"a": torch.zeros(1)}, folder / "lora.safetensors")


def with_part_of_a_lora(folder: Path) -> None:
    """Add a LoRA that adapts one linear of many."""
    with_lora(
        folder,
        **{
            "text_linear.lora_A.weight": torch.zeros(4, 64),
            "text_linear.lora_B.weight": torch.zeros(folders.TEXT_CARD, 4),
        },
    )


def with_broken_lora(folder: Path) -> None:
    """Add a LoRA file that is cut short."""
    with_lora(folder)
    cut_by_one = (folder / "lora.safetensors").read_bytes()[:-1]
    (folder / "lora.safetensors").write_bytes(cut_by_one)


def one_speaker(folder: Path) -> None:
    """Write a model whose depformer speaks all eight codebooks."""
    lm = folders.random_lm(n_q=8, dep_q=8, delays=[0, 0, *[1] * 7])
    folders.moshi_folder(folder, lm, n_q=8, dep_q=8, delays=[0, 0, *[1] * 7])
    content = json.loads((folder / "config.json").read_text())
    del content["model_type"]
    (folder / "config.json").write_text(json.dumps(content))


def configured(**changes: Any) -> Callable[[Path], None]:
    """Return a function that changes config.json."""
    return lambda folder: folders.configure(folder, **changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut(folders.LM_NAME), r"model\.safetensors: not a whole .*: it has \d+ of \d+ bytes"),
        (cut(folders.CODEC_NAME), r"checkpoint125\.safetensors: not a whole .* of \d+ bytes"),
        (point(folders.LM_NAME), r"model\.safetensors: .*a git-lfs pointer to a file of 366\.8"),
        (point(folders.CODEC_NAME), r"checkpoint125\.safetensors: .*a git-lfs pointer"),
        (point(folders.TOKENIZER_NAME), r"spm_32k_3\.model is no .*: a git-lfs pointer"),
        (point("mimi.json"), r"mimi\.json: a git-lfs pointer"),
        (point("config.json"), r"config\.json: a git-lfs pointer"),
        (spoil(folders.LM_NAME, math.nan), r"model\.safetensors: the tensor .* holds NaN"),
        (spoil(folders.LM_NAME, math.inf), r"model\.safetensors: the tensor .* or infinity"),
        (spoil(folders.CODEC_NAME, math.nan), r"checkpoint125\.safetensors: the tensor .* NaN"),
        (to_gguf, r"model\.q8\.gguf is for Moshi's Rust server.*kyutai/moshiko-pytorch-bf16"),
        (rename_tensors("depformer.layers", "depformer.slices.0"), r"weights are for MLX"),
        (rename_tensors("depformer.layers", "depformer.0"), r"weights are for Moshi's Rust"),
        (configured(moshi_name="model.pt"), r"model\.pt is missing"),
        (configured(depformer_pos_emb="sin"), r"depformer_pos_emb='sin'.*expected 'none'"),
        (configured(depformer_kv_repeat=2), r"depformer_kv_repeat=2"),
        (configured(lm_gen_config={"cfg_coef": 1.5}), r"cfg_coef=1\.5"),
        (configured(lora=False, lora_name="lora.safetensors"), r"lora=false, but lora_name="),
        (configured(num_heads=0), r"config\.json describes no Moshi: "),
        (configured(dim="large"), r"config\.json describes no Moshi: "),
        (configured(norm="unknown"), r"config\.json describes no Moshi: .*unknown"),
        (configured(context=None), r"expected causal, kv_repeat=1 and a context"),
        (configured(cross_attention=True), r"only plain self-attention layers"),
        (one_speaker, r"dep_q=8 of n_q=8: the model speaks all codebooks and hears none"),
        (with_lora, r"lora\.safetensors adapts another model"),
        (with_part_of_a_lora, r"lora\.safetensors adapts another model, or another lora_rank"),
        (with_broken_lora, r"lora\.safetensors: not a whole safetensors file"),
        (
            lambda folder: broken_mimi(folder, quantizer={"n_q": 4}),
            r"has 4 codebooks, but the language model uses 8",
        ),
        (
            lambda folder: broken_mimi(folder, quantizer={"bins": 16}),
            rf"has 16 codes a codebook, but the language model knows {folders.CARD}",
        ),
        (
            lambda folder: broken_mimi(folder, frame_rate=25.0),
            r"frames of 960 samples at 24000 Hz in 1 channels; expected 1920 at 24000 Hz",
        ),
        (
            lambda folder: (folder / "mimi.json").write_text("{}") and None,
            r"is no Mimi of this config: 'seanet'",
        ),
    ],
)
def test_a_model_that_cannot_run_is_refused_in_one_sentence(
    moshi: Path, change: Callable[[Path], None], message: str
) -> None:
    """Each refusal names the folder, the file or field, and what was expected."""
    change(moshi)

    with pytest.raises(InvalidInput, match=message) as refused:
        load_model(settings(moshi, capacity=1), ignore)
    assert str(moshi) in str(refused.value)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("kyutai/moshika-mlx-q4", r"for MLX, .*kyutai/moshika-pytorch-bf16"),
        ("kyutai/moshiko-candle-q8", r"for Moshi's Rust server .*kyutai/moshiko-pytorch-bf16"),
    ],
)
def test_kyutais_other_formats_are_not_fetched(model: str, message: str) -> None:
    """A repository for MLX or Rust is refused with the PyTorch repository of the same voice."""
    with pytest.raises(InvalidInput, match=message):
        find_model(model, ignore)


def test_a_file_as_model_is_refused(tmp_path: Path) -> None:
    """A gguf file in MODEL is refused: a folder was expected."""
    (tmp_path / "model.q8.gguf").write_bytes(b"GGUF\x03")

    with pytest.raises(InvalidInput, match=r"is a file, a gguf file, .*; give the folder"):
        find_model(str(tmp_path / "model.q8.gguf"), ignore)


def test_a_voice_with_nan_is_refused(tmp_path: Path) -> None:
    """A saved voice that holds NaN, or is a git-lfs pointer, is refused."""
    folder = folders.personaplex_folder(tmp_path / "personaplex", folders.random_lm(dep_q=16))
    voices = tmp_path / "voices"
    voices.mkdir()
    ring = torch.ones(1, 17, 4, dtype=torch.long)
    torch.save({"embeddings": torch.full((3, 1, 1, 64), math.nan), "cache": ring}, voices / "a.pt")

    with pytest.raises(InvalidInput, match=r"a\.pt: it holds NaN or infinity"):
        load_model(settings(folder, capacity=1, context=40, voices_dir=voices), ignore)
    (voices / "a.pt").write_text(LFS)
    with pytest.raises(InvalidInput, match=r"a\.pt: a git-lfs pointer"):
        load_model(settings(folder, capacity=1, context=40, voices_dir=voices), ignore)


def said(folder: Path, persona: Persona) -> list[int]:
    """Return the text of a persona of this model over 20 frames."""
    step = load_model(settings(folder, capacity=1), ignore).step
    assert isinstance(step, MoshiStep)
    step.join(0, persona)
    return talk(step, 0, sounds(7, 20)[:, 0]).wrote


def test_a_persona_without_sampling_has_the_models(moshi: Path) -> None:
    """A persona that asks for no sampling gets config.json's; one that asks gets its own."""
    asked = Sampling(
        text_temperature=0.5, text_top_k=3, audio_temperature=1.2, audio_top_k=2, seed=4
    )
    asks = ANNA.model_copy(update={"sampling": asked})
    plain = ANNA.model_copy(update={"sampling": Sampling(seed=4)})
    before = said(moshi, asks)
    assert said(moshi, plain) != before
    folders.configure(
        moshi, lm_gen_config={"temp": 1.2, "temp_text": 0.5, "top_k": 2, "top_k_text": 3}
    )

    assert said(moshi, plain) == before
    model = load_model(settings(moshi, capacity=1), ignore)
    assert model.sampling == UsualSampling(**asked.model_dump(exclude={"seed"}))
    folders.configure(moshi, lm_gen_config={"use_sampling": False})
    assert said(moshi, asks) == before


def test_a_models_sampling_is_its_configs_over_upstreams_defaults(moshi: Path) -> None:
    """Fields that config.json does not name have upstream's defaults; top_k is capped."""
    lines: list[str] = []
    model = load_model(settings(moshi, capacity=1), lines.append)
    assert model.sampling == UsualSampling()
    assert np.isclose(model.sampling.audio_temperature, 0.8)

    folders.configure(moshi, lm_gen_config={"top_k": 1000})
    load_model(settings(moshi, capacity=1), lines.append)
    assert "config.json asks for top_k=1000; at most 256 are looked at" in lines


def test_the_codec_beside_kyutais_recognisers_is_the_released_one(moshi: Path) -> None:
    """It has another name there; were it unknown, loading it would slow the voices' codec, too."""
    files = replace(find_model(str(moshi), ignore), codec_config=None)

    assert replace(files, codec=Path(recognisers.MIMI_NAME)).is_codec_released
    assert not replace(files, codec=Path("mimi.safetensors")).is_codec_released
