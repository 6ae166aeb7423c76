"""Engine tests: models so small that a second torch thread only costs; kernels are interpreted."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
import torch

from tests.engine import folders

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is first imported


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Generator[None]:
    """One torch thread; loading a model sets others, and other tests get theirs back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Moshi's kind, which no test changes."""
    return folders.moshi_folder(tmp_path_factory.mktemp("models") / "moshi", folders.random_lm())


@pytest.fixture(scope="package")
def moshi(published: Path) -> Path:
    """The same folder; a module whose tests change it overrides this with a copy."""
    return published
