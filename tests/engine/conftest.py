"""Set-up of engine tests: one thread of torch; Triton's kernels are interpreted without a GPU."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tests.engine import folders

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is first imported


@pytest.fixture(scope="package", autouse=True)
def computes_with_one_thread(one_torch_thread: None) -> None:
    """Let every test of the engine use one thread of torch."""


@pytest.fixture(scope="package", autouse=True)
def interprets_quickly() -> None:
    """Let Triton's interpreter, where it is used and installed, do without what no kernel reads."""
    if os.environ.get("TRITON_INTERPRET") == "1" and find_spec("triton"):
        from tests.engine import interpreter

        interpreter.lighten()


@pytest.fixture
def few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an interpreted program convolve a whole row, and attend to 64 places in one operation.

    An interpreted operation takes up to 1 ms, whatever its size.
    """
    convolutions = pytest.importorskip("worker.engine.network.kernels.convolutions")
    attention = pytest.importorskip("worker.engine.network.kernels.attention")
    if not torch.cuda.is_available():
        monkeypatch.setattr(convolutions, "MOMENTS", 2048)
        monkeypatch.setattr(convolutions, "TILE", 1 << 16)
        monkeypatch.setattr(attention, "LANES", attention.LANES * attention.MOST_LOADS)
        monkeypatch.setattr(attention, "MOST_LOADS", 1)


@pytest.fixture(scope="package")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as Moshi is published, which no test changes."""
    return folders.moshi_folder(tmp_path_factory.mktemp("models") / "moshi", folders.random_lm())


@pytest.fixture(scope="package")
def moshi(published: Path) -> Path:
    """Return the same folder; a module whose tests change it overrides this with a copy."""
    return published
