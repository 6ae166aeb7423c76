"""One cluster for all faults, restored before each; figures of how long recovery took."""

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.faults.cluster import Cluster

Recovery = Callable[[str], AbstractContextManager[None]]


@pytest.fixture(scope="package")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    """Start the cluster for the whole run."""
    cluster = Cluster(tmp_path_factory.mktemp("faults"))
    try:
        yield cluster
    finally:
        cluster.end()


@pytest.fixture
def cluster(whole: Cluster) -> Cluster:
    """Return the cluster with one token service and two workers, ready and idle."""
    whole.become(services=1, workers=2)
    return whole


@pytest.fixture
def recovery(measured: list[str]) -> Recovery:
    """Measure the block under it for the summary: from the fault to the promised state."""

    @contextmanager
    def block(what: str) -> Generator[None]:
        begun_s = time.monotonic()
        yield
        measured.append(f"recovery: {time.monotonic() - begun_s:5.1f} s  {what}")

    return block
