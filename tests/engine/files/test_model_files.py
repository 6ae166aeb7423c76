"""Finding a model's files, in folders and on a hub, and saying what to do where they are not."""

import json
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants, file_download

from harness.http_server import QuietHandler, serving
from harness.servers import GivenSettings
from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from tests.engine import folders
from worker.engine.files.model_files import MissingFile, find_model
from worker.engine.load import load_model

REVISION = "0" * 40


def ignore(line: str) -> None:
    """A progress that nobody reads."""


def settings(model: Path | str, **others: Any) -> Settings:
    """Settings for this model on a CPU; no environment is read."""
    return GivenSettings(model=str(model), device="cpu", capacity=1, **others)


@pytest.fixture
def moshi(tmp_path: Path) -> Path:
    """A folder of Moshi's kind, whose config.json a test may change."""
    return folders.moshi_folder(tmp_path / "moshi", folders.random_lm())


class Hub(QuietHandler):
    """A hub's answer for a file: the released protocol's headers, a folder's bytes."""

    folder: Path
    refusal: tuple[int, str] | None

    def do_HEAD(self) -> None:
        """Say what there is."""
        self._answer(with_body=False)

    def do_GET(self) -> None:
        """Give it."""
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = self.folder / self.path.rsplit("/", 1)[1]
        status, code = self.refusal or ((200, "") if path.is_file() else (404, "EntryNotFound"))
        body = path.read_bytes() if status == 200 else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 200:
            self.send_header("ETag", f'"{path.name}"')
        if code:
            self.send_header("X-Error-Code", code)
        if self.refusal is None:
            self.send_header("X-Repo-Commit", REVISION)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


class HubOfATest:
    """A hub on this machine that has one repository, or refuses it."""

    def __init__(self, folder: Path) -> None:
        self._handler = type("Handler", (Hub,), {"folder": folder, "refusal": None})
        self._running = ExitStack()
        self.url = f"http://127.0.0.1:{self._running.enter_context(serving(self._handler))}"

    def refuse(self, status: int, code: str = "") -> None:
        """Answer every request like this from now on."""
        self._handler.refusal = (status, code)

    def close(self) -> None:
        """Stop answering."""
        self._running.close()


@pytest.fixture
def hub(moshi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[HubOfATest]:
    """A hub with the folder as `kyutai/small`, and a cache of the test's own."""
    server = HubOfATest(moshi)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(file_download.http_backoff.__kwdefaults__, "max_retries", 0)  # no waiting
    yield server
    server.close()


def test_a_repository_is_fetched_and_loads(hub: HubOfATest) -> None:
    """Every file comes from the hub, and each is announced before it is fetched."""
    lines: list[str] = []

    model = load_model(settings("kyutai/small"), lines.append)

    assert model.name == "kyutai/small"
    assert f"kyutai/small: fetching {folders.LM_NAME}" in lines


def test_what_was_fetched_once_is_there_without_a_network(hub: HubOfATest) -> None:
    """The second start takes everything from the hub's cache and asks nobody."""
    first = find_model("kyutai/small", ignore)
    hub.close()

    assert find_model("kyutai/small", ignore) == first


@pytest.mark.parametrize(("status", "code"), [(401, "GatedRepo"), (403, "GatedRepo"), (403, "")])
def test_a_gated_repository_says_how_to_get_in(hub: HubOfATest, status: int, code: str) -> None:
    """The licence is accepted on a page, the token goes into HF_TOKEN: both are named."""
    hub.refuse(status, code)

    with pytest.raises(InvalidInput, match=r"gated.*nvidia/personaplex-7b-v1.*licence.*HF_TOKEN"):
        find_model("nvidia/personaplex-7b-v1", ignore)


def test_an_unknown_repository_is_named(hub: HubOfATest) -> None:
    """Private and missing look alike from outside, so both are said."""
    hub.refuse(404, "RepoNotFound")

    with pytest.raises(InvalidInput, match=r"MODEL='nobody/nothing': the hub has no such"):
        find_model("nobody/nothing", ignore)


def test_a_hub_out_of_reach_is_no_missing_file(hub: HubOfATest) -> None:
    """Without network and cache the advice is a network or a folder."""
    hub.close()

    with pytest.raises(InvalidInput, match=r"the hub cannot be reached .* or give a folder"):
        find_model("kyutai/small", ignore)


def test_a_hub_in_trouble_is_quoted(hub: HubOfATest) -> None:
    """An answer that says nothing of the repository is passed on, and is no traceback."""
    hub.refuse(429)

    with pytest.raises(InvalidInput, match=r"MODEL='kyutai/small': the hub refused .*429"):
        find_model("kyutai/small", ignore)


def test_a_config_may_take_files_of_a_repository(hub: HubOfATest, moshi: Path) -> None:
    """A fine-tuning's folder names what it adapts as hf://owner/repository/file."""
    (moshi.parent / "tuned").mkdir()
    tuned = moshi.parent / "tuned"
    for name in ("config.json", "mimi.json", folders.CODEC_NAME, folders.TOKENIZER_NAME):
        (tuned / name).write_bytes((moshi / name).read_bytes())
    folders.configure(tuned, moshi_name=f"hf://kyutai/small/{folders.LM_NAME}")

    files = find_model(str(tuned), ignore)

    assert files.lm[0].read_bytes() == (moshi / folders.LM_NAME).read_bytes()
    assert files.codec == tuned / folders.CODEC_NAME


def test_a_repositorys_config_may_take_files_of_another(hub: HubOfATest, moshi: Path) -> None:
    """Upstream's script for 8-bit models names codec and tokenizer as hf://owner/repository/file."""
    folders.configure(
        moshi,
        mimi_name=f"hf://kyutai/whole/{folders.CODEC_NAME}",
        tokenizer_name=f"hf://kyutai/whole/{folders.TOKENIZER_NAME}",
    )

    files = find_model("kyutai/small", ignore)

    assert files.codec.read_bytes() == (moshi / folders.CODEC_NAME).read_bytes()
    for path, repository in (
        (files.lm[0], "small"),
        (files.codec, "whole"),
        (files.tokenizer, "whole"),
    ):
        assert f"models--kyutai--{repository}" in path.parts


def test_without_download_only_the_cache_is_looked_at(hub: HubOfATest) -> None:
    """Without downloads a missing file is named, and files fetched before are found."""
    with pytest.raises(MissingFile, match=f"{folders.LM_NAME} is missing"):
        find_model("kyutai/small", ignore, download=False)
    fetched = find_model("kyutai/small", ignore)

    assert find_model("kyutai/small", ignore, download=False) == fetched


def test_weights_too_large_for_the_device_are_not_fetched(hub: HubOfATest, moshi: Path) -> None:
    """A device that cannot hold the weights is told of before they come, with both sizes."""
    size = (moshi / folders.LM_NAME).stat().st_size
    find_model("kyutai/small", ignore, most_bytes=2 * size)
    with pytest.raises(InvalidInput, match=r"safetensors has 0\.00 GiB, but 0\.00 GiB is free"):
        find_model("kyutai/other", ignore, most_bytes=size - 1)

    with pytest.raises(MissingFile):
        find_model("kyutai/other", ignore, download=False)


@pytest.mark.parametrize("name", ["moshiko", "builtin", ""])
def test_a_name_that_is_nothing_gives_the_choices(name: str) -> None:
    """Neither word, repository nor folder: the answer lists what MODEL may be."""
    with pytest.raises(InvalidInput, match=r"MODEL=.*expected pocket, echo, a hub repository"):
        find_model(name or "no-such-model", ignore)


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "../nothing", "~/nothing-here"])
def test_a_folder_that_is_not_there_is_named(name: str) -> None:
    """A path is never taken for a repository."""
    with pytest.raises(InvalidInput, match="there is no such folder"):
        find_model(name, ignore)


@pytest.mark.parametrize(
    "name", [folders.LM_NAME, folders.CODEC_NAME, folders.TOKENIZER_NAME, "mimi.json"]
)
def test_a_missing_file_is_named(moshi: Path, name: str) -> None:
    """The error names the file that is not there."""
    (moshi / name).unlink()

    with pytest.raises(InvalidInput, match=f"{name} is missing"):
        find_model(str(moshi), ignore)


def test_a_folder_without_config_has_the_released_names(moshi: Path) -> None:
    """Old repositories have no config.json: the names are those of the first release."""
    (moshi / "config.json").unlink()

    files = find_model(str(moshi), ignore)

    assert (files.config, files.codec_config) == ({}, None)
    assert files.lm == (moshi / "model.safetensors",)
    assert files.codec == moshi / "tokenizer-e351c8d8-checkpoint125.safetensors"
    assert files.tokenizer == moshi / "tokenizer_spm_32k_3.model"


def test_an_empty_config_is_no_config(moshi: Path) -> None:
    """An empty file, as PersonaPlex's config.json once was, says nothing and is no error."""
    (moshi / "config.json").write_text("")

    assert find_model(str(moshi), ignore).config == {}


@pytest.mark.parametrize("content", ["{", "[1]", "\x00"])
def test_a_broken_config_is_refused(moshi: Path, content: str) -> None:
    """A config.json that is no JSON object is named."""
    (moshi / "config.json").write_text(content)

    with pytest.raises(InvalidInput, match=r"config\.json"):
        find_model(str(moshi), ignore)


def test_a_speech_model_of_another_kind_is_refused(moshi: Path) -> None:
    """Kyutai's recognizers and synthesizers have the same format, and hold no conversation."""
    folders.configure(moshi, model_type="stt")

    with pytest.raises(InvalidInput, match="model_type='stt' is no model for conversations"):
        find_model(str(moshi), ignore)


def test_a_model_with_conditions_is_refused(moshi: Path) -> None:
    """It would wait for conditions that nobody gives."""
    folders.configure(moshi, conditioners={"description": {"type": "lut"}})

    with pytest.raises(InvalidInput, match=r"it wants conditions \(description\)"):
        find_model(str(moshi), ignore)


def test_a_lora_without_its_base_says_where_to_name_it(moshi: Path) -> None:
    """A fine-tuning's folder as the trainer leaves it: the base is named in config.json."""
    folders.configure(moshi, lora=True)
    (moshi / folders.LM_NAME).rename(moshi / "lora.safetensors")

    with pytest.raises(
        InvalidInput, match=r"this LoRA adapts a model that is not here.*moshi_name"
    ):
        find_model(str(moshi), ignore)


def test_a_lora_of_another_model_is_refused(moshi: Path) -> None:
    """Tensors that fit nothing are no adaptation."""
    folders.configure(moshi, lora=True, lora_name=folders.CODEC_NAME)

    with pytest.raises(InvalidInput, match="adapts another model"):
        load_model(settings(moshi), ignore)


def test_weights_that_do_not_fit_their_config_are_refused(moshi: Path) -> None:
    """The error says which file and what differs."""
    folders.configure(moshi, num_layers=3)

    with pytest.raises(InvalidInput, match=r"model.safetensors does not fit config\.json"):
        load_model(settings(moshi), ignore)


def test_a_config_of_something_else_is_refused(moshi: Path) -> None:
    """A size that no Moshi has is named."""
    folders.configure(moshi, experts=8)

    with pytest.raises(InvalidInput, match=r"config\.json describes no Moshi.*experts"):
        load_model(settings(moshi), ignore)


def test_a_codec_of_another_size_is_refused(moshi: Path) -> None:
    """Mimi's weights must be those of its config."""
    codec_config = json.loads((moshi / "mimi.json").read_text())
    codec_config["seanet"]["n_filters"] = 4
    (moshi / "mimi.json").write_text(json.dumps(codec_config))

    with pytest.raises(InvalidInput, match="is no Mimi of this config"):
        load_model(settings(moshi), ignore)


def test_a_tokenizer_of_another_model_is_refused(moshi: Path) -> None:
    """More pieces than the model has tokens: they cannot belong together."""
    lm = folders.random_lm(text_card=300)
    folders.moshi_folder(moshi, lm, text_card=300)

    with pytest.raises(InvalidInput, match="they belong to different models"):
        load_model(settings(moshi), ignore)


def test_a_tokenizer_that_is_none_is_refused(moshi: Path) -> None:
    """Any other file under that name is named."""
    (moshi / folders.TOKENIZER_NAME).write_text("not a tokenizer")

    with pytest.raises(InvalidInput, match="is no sentencepiece model"):
        load_model(settings(moshi), ignore)


def test_a_broken_voices_archive_is_refused(tmp_path: Path) -> None:
    """Voices that cannot be read are named, before anything large is loaded."""
    folder = folders.personaplex_folder(tmp_path, folders.random_lm(dep_q=16))
    (folder / "voices.tgz").write_bytes(b"\x1f\x8bnothing")

    with pytest.raises(InvalidInput, match=r"voices\.tgz: not a whole tar archive"):
        load_model(settings(folder, context=40), ignore)


def test_a_cuda_that_is_not_there_is_refused(moshi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DEVICE=cuda is a demand: it is not quietly served by a CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(InvalidInput, match="DEVICE='cuda': torch finds no CUDA device"):
        load_model(GivenSettings(model=str(moshi), device="cuda"), ignore)


def test_eight_bit_weights_need_a_gpu(moshi: Path) -> None:
    """Quantized models run on CUDA only, and say so on a CPU."""
    folders.configure(moshi, quantize=True)

    with pytest.raises(InvalidInput, match="8-bit weights need a CUDA device"):
        load_model(settings(moshi), ignore)


def test_a_model_larger_than_memory_is_refused_before_loading(moshi: Path) -> None:
    """The plan is made from sizes alone: numbers come, and nothing is read."""
    folders.configure(moshi, dim=2**20)
    lines: list[str] = []

    with pytest.raises(InvalidInput, match=r"CAPACITY=1 .* needs .* GiB on cpu .* is free"):
        load_model(settings(moshi), lines.append)

    assert "Model loaded" not in lines
