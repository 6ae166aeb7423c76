"""Engine tests: models so small that a second torch thread only costs; kernels are interpreted."""

import os
from collections.abc import Generator

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is first imported


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Generator[None]:
    """One torch thread; other tests get theirs back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
