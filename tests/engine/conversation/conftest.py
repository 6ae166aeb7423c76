"""Small models of both kinds, with the context that the test's module sets."""

import pytest
import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMModel

from tests.engine import folders
from tests.engine.tiny import make_hearing, tiny_lm, tiny_mimi
from worker.engine.files.model_files import find_model
from worker.engine.files.weights import load_codec, load_lm


@pytest.fixture(scope="module")
def personaplex(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LMModel, MimiModel]:
    """Return a small PersonaPlex, whose 16 depformer steps are cut to 8 as it is loaded."""
    published = folders.random_lm(seed=5, dep_q=16)
    folder = folders.personaplex_folder(tmp_path_factory.mktemp("models") / "pp", published)
    files = find_model(str(folder), lambda line: None)
    device = torch.device("cpu")
    lm = load_lm(files, device, torch.float32, context=request.module.CONTEXT)
    mimi = load_codec(files, lm, device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        make_hearing(mimi)
    return lm, mimi


@pytest.fixture(params=["moshi", "personaplex"])
def small(
    request: pytest.FixtureRequest, personaplex: tuple[LMModel, MimiModel]
) -> tuple[LMModel, MimiModel]:
    """Return a small model of each kind, with its codec."""
    if request.param == "personaplex":
        return personaplex
    return tiny_lm(context=request.module.CONTEXT), tiny_mimi()
