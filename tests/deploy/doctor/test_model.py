"""Doctor: the model's folder or repository, with a hub of the test's own over real HTTP."""

import json
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import sphn
import torch
from huggingface_hub import constants
from huggingface_hub.utils import build_hf_headers
from moshi.models import loaders

from deploy.doctor.finding import Finding, State
from deploy.doctor.fit.model import ModelCheck, model
from deploy.doctor.fit.sizes import KNOWN, SEVEN_B, sizes_of
from harness.http_server import QuietHandler, serving
from harness.servers import GivenSettings, free_port
from protocol.config.settings import Settings
from tests.engine import folders
from tests.engine.conversation.test_voices import tone
from worker.engine.capacity import MemoryPlan
from worker.engine.conversation.voices import longest_of, read_voices
from worker.engine.files.model_files import LM_NAME, ModelFiles, find_model
from worker.engine.files.shapes import is_prompted
from worker.engine.files.weight_files import read_shapes
from worker.engine.files.weights import Unfilled, bare_lm, load_codec
from worker.engine.load import plan_memory

REVISION = "0" * 40
SEVEN_B_NAME = "kyutai/moshiko-pytorch-bf16"
WEIGHTS, PICTURE = 15_375_458_304, 1 << 40
CPU = torch.device("cpu")
NO_VOICES = Path(__file__).parent  # a folder without any


class Hub(QuietHandler):
    """Describes one repository, or refuses."""

    described: dict[str, Any]
    refusal: tuple[int, str] | None  # status and the hub's own code
    licence: tuple[int, str] | None

    def do_GET(self) -> None:
        """Answer with the repository's description, or whether its files may be read."""
        if self.path.endswith("/auth-check"):
            self._answer(b"{}", self.licence)
        else:
            self._answer(json.dumps(self.described).encode(), self.refusal)

    def _answer(self, body: bytes, refusal: tuple[int, str] | None) -> None:
        status, code = refusal or (200, "")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if status == 200 else 0))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if status == 200:
            self.wfile.write(body)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set an empty cache of the hub, without a token of this machine's user; return its path."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[type[Hub]]:
    """Run a hub that has moshi's 7B, ungated; tests change what it answers."""
    files = [{"rfilename": LM_NAME, "size": WEIGHTS}, {"rfilename": "cover.png", "size": PICTURE}]
    described = {"id": SEVEN_B_NAME, "modelId": SEVEN_B_NAME, "gated": False, "siblings": files}
    handler = type("Handler", (Hub,), {"described": described, "refusal": None, "licence": None})
    with serving(handler) as port:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
        yield handler


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Make a folder of Moshi's kind."""
    return folders.moshi_folder(tmp_path / "moshi", folders.random_lm())


def seen(name: Path | str, **given: Any) -> ModelCheck:
    """Return doctor's check of a model on a machine with a GPU."""
    settings: Settings = GivenSettings(model=str(name), **given)
    return model(settings, on_gpu=True)


def only(look: ModelCheck) -> Finding:
    """Return the one finding."""
    [finding] = look.findings
    return finding


def test_the_echo_needs_no_file() -> None:
    """MODEL=echo needs no file."""
    assert only(seen("echo")).code == "model.echo"


def test_a_whole_folder_is_ok(whole: Path) -> None:
    """A whole folder is OK, and its sizes are read from the headers."""
    look = seen(whole, context=100)

    assert only(look).code == "model.folder"
    assert look.sizes is not None
    assert look.sizes.context_frames == 100


@pytest.mark.parametrize("name", [LM_NAME, folders.TOKENIZER_NAME, folders.CODEC_NAME])
def test_a_folder_that_lacks_a_file_is_a_failure(whole: Path, name: str) -> None:
    """A folder that lacks a file is a failure with the file's name."""
    (whole / name).unlink()
    finding = only(seen(whole))

    assert (finding.code, finding.state) == ("model.incomplete", State.FAIL)
    assert f"{name} is missing" in finding.found


def test_a_file_that_was_cut_short_is_a_failure(whole: Path) -> None:
    """A weights file that was cut short is a failure."""
    content = (whole / LM_NAME).read_bytes()
    (whole / LM_NAME).write_bytes(content[: len(content) // 2])
    finding = only(seen(whole))

    assert (finding.code, finding.state) == ("model.incomplete", State.FAIL)
    assert "not a whole safetensors file" in finding.found


@pytest.mark.parametrize("name", ["/no/such/folder", "moshiko"])
def test_a_name_of_no_model_is_a_failure(name: str) -> None:
    """A name that is neither folder nor repository is a failure with the choices."""
    finding = only(seen(name))

    assert (finding.code, finding.state) == ("model.incomplete", State.FAIL)
    assert "a hub repository such as kyutai/moshiko-pytorch-bf16" in finding.found


def test_a_repository_to_fetch_is_a_warning(hub: type[Hub], cache: Path) -> None:
    """A repository to fetch is a warning with its size, and nothing is fetched."""
    look = seen(SEVEN_B_NAME)

    assert (only(look).code, only(look).state) == ("model.to_fetch", State.WARN)
    assert only(look).found == f"{SEVEN_B_NAME}: 14.3 GiB to fetch; it asks for no licence"
    assert (look.to_fetch_bytes, look.folder, look.sizes) == (WEIGHTS, cache, SEVEN_B)
    assert not cache.exists()


def test_a_gated_repository_without_a_token_is_a_failure(hub: type[Hub]) -> None:
    """A gated repository without a token is a failure with its licence's page and HF_TOKEN."""
    hub.described["gated"] = "auto"
    hub.licence = (401, "GatedRepo")
    finding = only(seen(SEVEN_B_NAME))

    assert (finding.code, finding.state) == ("model.token", State.FAIL)
    assert finding.advice.endswith(f"https://huggingface.co/{SEVEN_B_NAME} and set HF_TOKEN")


def test_a_gated_repository_whose_licence_is_not_accepted_is_a_failure(hub: type[Hub]) -> None:
    """A gated repository whose licence is not accepted is a failure, and the token is not shown."""
    hub.described["gated"] = "auto"
    hub.licence = (403, "GatedRepo")
    finding = only(seen(SEVEN_B_NAME, hf_token="hf_secret"))

    assert (finding.code, finding.state) == ("model.licence", State.FAIL)
    assert "hf_secret" not in finding.line()


def test_a_gated_repository_whose_licence_is_accepted_is_ok(hub: type[Hub]) -> None:
    """A gated repository whose licence is accepted is fetched like any other."""
    hub.described["gated"] = "auto"
    finding = only(seen(SEVEN_B_NAME, hf_token="hf_secret"))

    assert finding.found == f"{SEVEN_B_NAME}: 14.3 GiB to fetch; its licence is accepted"


def test_an_unknown_repository_is_a_failure(hub: type[Hub]) -> None:
    """A repository that the hub does not know is a failure."""
    hub.refusal = (404, "RepoNotFound")
    finding = only(seen("kyutai/no-such"))

    assert (finding.code, finding.state) == ("model.unknown", State.FAIL)


def test_a_hub_that_is_away_is_a_failure(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that cannot be reached is a failure for a model that is not in the cache."""
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free_port()}")
    finding = only(seen(SEVEN_B_NAME))

    assert (finding.code, finding.state) == ("model.hub_away", State.FAIL)


@pytest.fixture
def fetched(cache: Path, whole: Path) -> Path:
    """Move the folder into the cache as `kyutai/small`; return it."""
    repository = cache / "models--kyutai--small"
    snapshot = repository / "snapshots" / REVISION
    snapshot.parent.mkdir(parents=True)
    whole.rename(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    return snapshot


def test_a_repository_in_the_cache_needs_no_hub(fetched: Path) -> None:
    """A repository in the cache is checked like a folder, without the hub."""
    assert only(seen("kyutai/small")).code == "model.folder"


def test_a_damaged_file_in_the_cache_is_a_failure(fetched: Path) -> None:
    """A damaged file in the cache is a failure with the command that fetches it again."""
    (fetched / LM_NAME).write_bytes(b"version https://git-lfs.github.com/spec/v1")
    finding = only(seen("kyutai/small"))

    assert (finding.code, finding.state) == ("model.damaged", State.FAIL)
    assert finding.advice == "fetch it again: hf download --force-download kyutai/small"


def test_the_rest_of_a_repository_is_still_to_fetch(fetched: Path, hub: type[Hub]) -> None:
    """A repository that is in the cache in part is still to be fetched."""
    (fetched / folders.TOKENIZER_NAME).unlink()

    assert only(seen("kyutai/small")).code == "model.to_fetch"


def test_a_repository_of_another_model_type_is_a_failure(fetched: Path) -> None:
    """A repository of another model type in the cache is a failure, as the worker refuses it."""
    folders.configure(fetched, model_type="stt")
    finding = only(seen("kyutai/small"))

    assert (finding.code, finding.state) == ("model.incomplete", State.FAIL)
    assert finding.found.startswith("MODEL='kyutai/small': model_type='stt' is no model for")


def test_a_repository_is_whole_only_with_the_files_of_another(
    fetched: Path, hub: type[Hub]
) -> None:
    """A repository that uses another one's file is whole only with that file."""
    folders.configure(fetched, mimi_name=f"hf://kyutai/whole/{folders.CODEC_NAME}")
    assert only(seen("kyutai/small")).code == "model.to_fetch"

    whole = Path(str(fetched).replace("models--kyutai--small", "models--kyutai--whole"))
    shutil.copytree(fetched.parents[1], whole.parents[1])
    assert only(seen("kyutai/small")).code == "model.folder"


def planned(files: ModelFiles, context: int | None = None) -> MemoryPlan:
    """Return the worker's plan for these files."""
    lm = bare_lm(files, torch.bfloat16, context)
    mimi = load_codec(files, lm, CPU)
    voice_frames = None
    if is_prompted(files.config, read_shapes(*files.lm)):
        voice_frames = longest_of(read_voices(files.voices, NO_VOICES))
    return plan_memory(lm, mimi, CPU, torch.bfloat16, voice_frames)


@pytest.mark.parametrize("kind", ["moshi", "personaplex", "pocket"])
@pytest.mark.parametrize("context", [None, 250])
def test_the_plan_is_the_workers_own(tmp_path: Path, kind: str, context: int | None) -> None:
    """Doctor's plan from headers is the worker's."""
    folder: Path | str = kind
    if kind == "moshi":
        folder = folders.moshi_folder(tmp_path / kind, folders.random_lm())
    elif kind == "personaplex":
        folder = folders.personaplex_folder(tmp_path / kind, folders.random_lm(dep_q=16))
    files = find_model(str(folder), lambda _: None)
    plan = planned(files, context)
    sizes = sizes_of(files, read_shapes(*files.lm), value_bytes=2).at_context(context)
    sizes = sizes.with_voices(files.voices, NO_VOICES)

    ours = sizes.plan("cpu", plan.free_bytes, on_gpu=False)
    assert ours == plan
    assert (ours.prompts_bytes > 0) == (kind != "moshi")


def test_the_plan_counts_an_operators_voice(tmp_path: Path) -> None:
    """The plan counts the frames of an operator's own voice in every session."""
    folder = folders.personaplex_folder(tmp_path / "pp", folders.random_lm(dep_q=16))
    mine = tmp_path / "mine"
    mine.mkdir()
    own = seen(folder, voices_dir=mine)
    sphn.write_wav(str(mine / "anna.wav"), tone(8.0), 24_000)
    longer = seen(folder, voices_dir=mine)
    assert own.sizes is not None and longer.sizes is not None

    assert (own.sizes.voice_frames, longer.sizes.voice_frames) == (4, 100)
    plans = [look.sizes.plan("cpu", 0, on_gpu=True) for look in (own, longer) if look.sizes]
    assert plans[1].slot_bytes - plans[0].slot_bytes == 96 * plans[0].frame_bytes


def test_a_file_that_is_no_voice_is_a_failure(tmp_path: Path) -> None:
    """A file in VOICES_DIR that is no sound is a failure."""
    folder = folders.personaplex_folder(tmp_path / "pp", folders.random_lm(dep_q=16))
    (tmp_path / "anna.wav").write_bytes(b"nonsense")
    finding = only(seen(folder, voices_dir=tmp_path))

    assert (finding.code, finding.state) == ("model.incomplete", State.FAIL)
    assert finding.found.startswith("anna.wav: not a sound file")


@pytest.mark.parametrize("name", [SEVEN_B_NAME, "nvidia/personaplex-7b-v1"])
def test_the_plan_of_a_7b_is_the_workers_own(name: str) -> None:
    """The sizes known before a download are those of moshi's own architecture."""
    meta = torch.device("meta")
    with meta, Unfilled():
        lm = loaders.get_moshi_lm(None, None, device=meta, dtype=torch.bfloat16)
        mimi = loaders.get_mimi(None, device=meta)
    sizes = KNOWN[name]
    plan = plan_memory(lm, mimi, CPU, torch.bfloat16, sizes.voice_frames)

    assert sizes.plan("cpu", plan.free_bytes, on_gpu=False) == plan


def test_no_token_of_this_user_reaches_the_tests(cache: Path) -> None:
    """The fixture `cache` hides the token of this machine's user."""
    assert "authorization" not in build_hf_headers()
