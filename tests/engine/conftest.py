"""Engine tests: models so small that a second torch thread only costs."""

from collections.abc import Generator

import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Generator[None]:
    """One torch thread; other tests get theirs back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
