"""Finding a model's files in folders and on a hub, and the advice where they are missing."""

import errno
import json
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import huggingface_hub
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
    """Ignore a line of progress."""


def settings(model: Path | str, **others: Any) -> Settings:
    """Return settings for this model on a CPU; no environment is read."""
    return GivenSettings(model=str(model), device="cpu", capacity=1, **others)


@pytest.fixture
def moshi(tmp_path: Path) -> Path:
    """Return a folder of Moshi's kind, whose config.json a test may change."""
    return folders.moshi_folder(tmp_path / "moshi", folders.random_lm())


class Hub(QuietHandler):
    """A hub's handler: the released protocol's headers, with the files of a folder."""

    folder: Path
    refusal: tuple[int, str] | None

    def do_HEAD(self) -> None:
        """Answer with the headers of a file."""
        self._answer(with_body=False)

    def do_GET(self) -> None:
        """Answer with a file."""
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


class LocalHub:
    """A hub on this machine that has one repository, or refuses every request."""

    def __init__(self, folder: Path) -> None:
        self._handler = type("Handler", (Hub,), {"folder": folder, "refusal": None})
        self._running = ExitStack()
        self.url = f"http://127.0.0.1:{self._running.enter_context(serving(self._handler))}"

    def refuse(self, status: int, code: str = "") -> None:
        """Refuse every request with this status from now on."""
        self._handler.refusal = (status, code)

    def close(self) -> None:
        """Stop answering."""
        self._running.close()


@pytest.fixture
def hub(moshi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[LocalHub]:
    """Run a hub that has the folder as `kyutai/small`; use an empty cache."""
    server = LocalHub(moshi)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(file_download.http_backoff.__kwdefaults__, "max_retries", 0)  # no waiting
    yield server
    server.close()


def test_a_repository_is_fetched_and_loads(hub: LocalHub) -> None:
    """Every file is fetched from the hub, and each is announced before."""
    lines: list[str] = []

    model = load_model(settings("kyutai/small"), lines.append)

    assert model.name == "kyutai/small"
    assert f"kyutai/small: fetching {folders.LM_NAME}" in lines


def test_fetched_files_are_found_without_a_network(hub: LocalHub) -> None:
    """Files that were fetched once are found in the cache while the hub does not answer."""
    first = find_model("kyutai/small", ignore)
    hub.close()

    assert find_model("kyutai/small", ignore) == first


@pytest.mark.parametrize(("status", "code"), [(401, "GatedRepo"), (403, "GatedRepo"), (403, "")])
def test_a_gated_repository_names_licence_and_token(hub: LocalHub, status: int, code: str) -> None:
    """The refusal names the page of the licence and the setting HF_TOKEN."""
    hub.refuse(status, code)

    with pytest.raises(InvalidInput, match=r"gated.*nvidia/personaplex-7b-v1.*licence.*HF_TOKEN"):
        find_model("nvidia/personaplex-7b-v1", ignore)


def test_an_unknown_repository_is_named(hub: LocalHub) -> None:
    """A repository that the hub does not have is named."""
    hub.refuse(404, "RepoNotFound")

    with pytest.raises(InvalidInput, match=r"MODEL='nobody/nothing': the hub has no such"):
        find_model("nobody/nothing", ignore)


def test_a_hub_that_cannot_be_reached_is_reported(hub: LocalHub) -> None:
    """Without network and cache the refusal advises a network or a folder."""
    hub.close()

    with pytest.raises(InvalidInput, match=r"the hub cannot be reached .* or give a folder"):
        find_model("kyutai/small", ignore)


def test_an_error_of_the_hub_is_quoted(hub: LocalHub) -> None:
    """A status that is not about the repository is part of the refusal."""
    hub.refuse(429)

    with pytest.raises(InvalidInput, match=r"MODEL='kyutai/small': the hub refused .*429"):
        find_model("kyutai/small", ignore)


def test_a_config_may_take_files_of_a_repository(hub: LocalHub, moshi: Path) -> None:
    """A folder's config.json may name a file of a repository as hf://owner/repository/file."""
    (moshi.parent / "tuned").mkdir()
    tuned = moshi.parent / "tuned"
    for name in ("config.json", "mimi.json", folders.CODEC_NAME, folders.TOKENIZER_NAME):
        (tuned / name).write_bytes((moshi / name).read_bytes())
    folders.configure(tuned, moshi_name=f"hf://kyutai/small/{folders.LM_NAME}")

    files = find_model(str(tuned), ignore)

    assert files.lm[0].read_bytes() == (moshi / folders.LM_NAME).read_bytes()
    assert files.codec == tuned / folders.CODEC_NAME


def test_a_repositorys_config_may_take_files_of_another(hub: LocalHub, moshi: Path) -> None:
    """A repository's config.json may name files of another repository."""
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


def test_without_download_only_cached_files_are_found(hub: LocalHub) -> None:
    """Without downloads a missing file is named, and files that were fetched before are found."""
    with pytest.raises(MissingFile, match=f"{folders.LM_NAME} is missing"):
        find_model("kyutai/small", ignore, download=False)
    fetched = find_model("kyutai/small", ignore)

    assert find_model("kyutai/small", ignore, download=False) == fetched


def test_weights_too_large_for_the_device_are_not_fetched(hub: LocalHub, moshi: Path) -> None:
    """Weights larger than the device are refused with both sizes, before they are fetched."""
    size = (moshi / folders.LM_NAME).stat().st_size
    find_model("kyutai/small", ignore, most_bytes=2 * size)
    with pytest.raises(InvalidInput, match=r"safetensors has 0\.00 GiB, but 0\.00 GiB is free"):
        find_model("kyutai/other", ignore, most_bytes=size - 1)

    with pytest.raises(MissingFile):
        find_model("kyutai/other", ignore, download=False)


@pytest.mark.parametrize("name", ["moshiko", "builtin", ""])
def test_an_unknown_name_is_refused_with_the_choices(name: str) -> None:
    """A MODEL that is no known word, repository or folder is refused with what it may be."""
    with pytest.raises(InvalidInput, match=r"MODEL=.*expected pocket, echo, a hub repository"):
        find_model(name or "no-such-model", ignore)


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "../nothing", "~/nothing-here"])
def test_a_missing_folder_is_not_taken_for_a_repository(name: str) -> None:
    """A path to a folder that does not exist is refused as such."""
    with pytest.raises(InvalidInput, match="there is no such folder"):
        find_model(name, ignore)


@pytest.mark.parametrize(
    "name", [folders.LM_NAME, folders.CODEC_NAME, folders.TOKENIZER_NAME, "mimi.json"]
)
def test_a_missing_file_is_named(moshi: Path, name: str) -> None:
    """A folder without one of its files is refused with the file's name."""
    (moshi / name).unlink()

    with pytest.raises(InvalidInput, match=f"{name} is missing"):
        find_model(str(moshi), ignore)


def test_a_folder_without_config_has_the_released_names(moshi: Path) -> None:
    """A folder without config.json has the file names of Moshi's first release."""
    (moshi / "config.json").unlink()

    files = find_model(str(moshi), ignore)

    assert (files.config, files.codec_config) == ({}, None)
    assert files.lm == (moshi / "model.safetensors",)
    assert files.codec == moshi / "tokenizer-e351c8d8-checkpoint125.safetensors"
    assert files.tokenizer == moshi / "tokenizer_spm_32k_3.model"


def test_an_empty_config_is_no_config(moshi: Path) -> None:
    """An empty config.json is read as one without fields."""
    (moshi / "config.json").write_text("")

    assert find_model(str(moshi), ignore).config == {}


@pytest.mark.parametrize("content", ["{", "[1]", "\x00"])
def test_a_broken_config_is_refused(moshi: Path, content: str) -> None:
    """A config.json that is no JSON object is refused by its name."""
    (moshi / "config.json").write_text(content)

    with pytest.raises(InvalidInput, match=r"config\.json"):
        find_model(str(moshi), ignore)


def test_a_speech_model_of_another_kind_is_refused(moshi: Path) -> None:
    """A model of type `stt` is refused as the worker's model."""
    folders.configure(moshi, model_type="stt")

    with pytest.raises(InvalidInput, match="model_type='stt' is no model for conversations"):
        find_model(str(moshi), ignore)


def test_a_model_with_conditions_is_refused(moshi: Path) -> None:
    """A model that needs conditions is refused with their names."""
    folders.configure(moshi, conditioners={"description": {"type": "lut"}})

    with pytest.raises(InvalidInput, match=r"it wants conditions \(description\)"):
        find_model(str(moshi), ignore)


def test_a_lora_without_its_base_says_where_to_name_it(moshi: Path) -> None:
    """A LoRA's folder without its base model is refused with the field that names it."""
    folders.configure(moshi, lora=True)
    (moshi / folders.LM_NAME).rename(moshi / "lora.safetensors")

    with pytest.raises(
        InvalidInput, match=r"this LoRA adapts a model that is not here.*moshi_name"
    ):
        find_model(str(moshi), ignore)


def test_a_lora_of_another_model_is_refused(moshi: Path) -> None:
    """A LoRA whose tensors fit nothing is refused."""
    folders.configure(moshi, lora=True, lora_name=folders.CODEC_NAME)

    with pytest.raises(InvalidInput, match="adapts another model"):
        load_model(settings(moshi), ignore)


def test_weights_that_do_not_fit_their_config_are_refused(moshi: Path) -> None:
    """Weights of other sizes than config.json's are refused with the file's name."""
    folders.configure(moshi, num_layers=3)

    with pytest.raises(InvalidInput, match=r"model.safetensors does not fit config\.json"):
        load_model(settings(moshi), ignore)


def test_an_unknown_size_in_config_json_is_refused(moshi: Path) -> None:
    """A size that no Moshi has is named."""
    folders.configure(moshi, experts=8)

    with pytest.raises(InvalidInput, match=r"config\.json describes no Moshi.*experts"):
        load_model(settings(moshi), ignore)


def test_a_codec_of_another_size_is_refused(moshi: Path) -> None:
    """A codec whose weights do not fit its config is refused."""
    codec_config = json.loads((moshi / "mimi.json").read_text())
    codec_config["seanet"]["n_filters"] = 4
    (moshi / "mimi.json").write_text(json.dumps(codec_config))

    with pytest.raises(InvalidInput, match="is no Mimi of this config"):
        load_model(settings(moshi), ignore)


def test_a_tokenizer_of_another_model_is_refused(moshi: Path) -> None:
    """A tokenizer with another number of pieces than the model has tokens is refused."""
    lm = folders.random_lm(text_card=300)
    folders.moshi_folder(moshi, lm, text_card=300)

    with pytest.raises(InvalidInput, match="they belong to different models"):
        load_model(settings(moshi), ignore)


def test_a_malformed_tokenizer_is_refused(moshi: Path) -> None:
    """A file that is no sentencepiece model is refused as tokenizer."""
    (moshi / folders.TOKENIZER_NAME).write_text("not a tokenizer")

    with pytest.raises(InvalidInput, match="is no sentencepiece model"):
        load_model(settings(moshi), ignore)


def test_a_broken_voices_archive_is_refused(tmp_path: Path) -> None:
    """A broken archive of voices is refused by its name."""
    folder = folders.personaplex_folder(tmp_path, folders.random_lm(dep_q=16))
    (folder / "voices.tgz").write_bytes(b"\x1f\x8bnothing")

    with pytest.raises(InvalidInput, match=r"voices\.tgz: not a whole tar archive"):
        load_model(settings(folder, context=40), ignore)


def test_a_cuda_that_is_not_there_is_refused(moshi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DEVICE=cuda is refused on a machine without CUDA."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(InvalidInput, match="DEVICE='cuda': torch finds no CUDA device"):
        load_model(GivenSettings(model=str(moshi), device="cuda"), ignore)


def test_eight_bit_weights_need_a_gpu(moshi: Path) -> None:
    """8-bit weights are refused on a CPU."""
    folders.configure(moshi, quantize=True)

    with pytest.raises(InvalidInput, match="8-bit weights need a CUDA device"):
        load_model(settings(moshi), ignore)


def test_a_model_larger_than_memory_is_refused_before_loading(moshi: Path) -> None:
    """A model that does not fit is refused with the memory plan, before it is loaded."""
    folders.configure(moshi, dim=2**20)
    lines: list[str] = []

    with pytest.raises(InvalidInput, match=r"CAPACITY=1 .* needs .* GiB on cpu .* is free"):
        load_model(settings(moshi), lines.append)

    assert "Model loaded" not in lines


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "does not fit on the disk of .*HF_HOME"),
        (
            RuntimeError("Data processing error: IO Error: No space left on device (os error 28)"),
            "does not fit on the disk of .*HF_HOME",
        ),
        (PermissionError(errno.EACCES, "Permission denied"), "may not be stored in .*HF_HOME"),
        (
            RuntimeError("Data processing error: CAS service error : Request failed"),
            "the download of model.safetensors broke off: .*Request failed; start again",
        ),
    ],
    ids=["disk full", "disk full, told by hf_xet", "read-only", "broken off, told by hf_xet"],
)
def test_a_download_that_fails_here_is_not_the_hubs_fault(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    """A full or read-only disk is named with its setting; hf_xet's errors are no tracebacks."""
    fetch = huggingface_hub.hf_hub_download

    def fetched(repository: str, name: str) -> str:
        if name == folders.LM_NAME:
            raise error
        return fetch(repository, name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetched)

    with pytest.raises(InvalidInput, match=rf"MODEL='kyutai/small': .*{why}"):
        find_model("kyutai/small", ignore)
