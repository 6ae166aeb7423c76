"""One cluster for all faults, whole again before each; a table of how long recovery took."""

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.faults.cluster import Cluster

RECOVERIES = pytest.StashKey[list[tuple[str, float]]]()

Recovery = Callable[[str], AbstractContextManager[None]]


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    """The cluster, from the first test on that wants it."""
    cluster = Cluster(tmp_path_factory.mktemp("faults"))
    try:
        yield cluster
    finally:
        cluster.end()


@pytest.fixture
def cluster(whole: Cluster) -> Cluster:
    """One token service and two workers, well and idle, whatever the last test did to them."""
    whole.become(services=1, workers=2)
    return whole


@pytest.fixture
def recovery(pytestconfig: pytest.Config) -> Recovery:
    """Measures the block under it for the table: from the fault to the state that is promised."""
    times = pytestconfig.stash.setdefault(RECOVERIES, [])

    @contextmanager
    def measured(what: str) -> Generator[None]:
        begun_s = time.monotonic()
        yield
        times.append((what, time.monotonic() - begun_s))

    return measured


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table. Timings decide no test, so that a busy machine breaks none."""
    if times := config.stash.get(RECOVERIES, []):
        terminalreporter.section("recovery from faults")
        for what, seconds in sorted(times):
            terminalreporter.write_line(f"{seconds:6.1f} s  {what}")
