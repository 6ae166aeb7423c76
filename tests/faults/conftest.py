"""One cluster for all faults, restored before each, and measurements of recovery."""

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.faults.cluster import Cluster
from tests.worker.scripted.schedule import SCHEDULE_FILE, Schedule, SpeechPlan

TALK = {
    "chef": SpeechPlan(speaks=20, rest=15),
    "astronaut": SpeechPlan(at=10, speaks=20, rest=15, hz=700.0),
}

Recovery = Callable[[str], AbstractContextManager[None]]


@pytest.fixture(scope="package")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    """Start one cluster for all tests."""
    cluster = Cluster(tmp_path_factory.mktemp("faults"))
    try:
        yield cluster
    finally:
        cluster.end()


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Cluster:
    """Return the cluster with one token service and two workers, ready and idle."""
    shared_cluster.become(services=1, workers=2)
    return shared_cluster


@pytest.fixture
def recovery(measured: list[str]) -> Recovery:
    """Return a context that measures, for the summary, how long its block takes."""

    @contextmanager
    def block(what: str) -> Generator[None]:
        begun_s = time.monotonic()
        yield
        measured.append(f"recovery: {time.monotonic() - begun_s:5.1f} s  {what}")

    return block


@pytest.fixture(scope="package")
def schedule(tmp_path_factory: pytest.TempPathFactory) -> Schedule:
    """Return what personas say, which a test may change."""
    return Schedule(tmp_path_factory.mktemp("schedule") / "wishes.json")


@pytest.fixture(scope="package")
def talkers(tmp_path_factory: pytest.TempPathFactory, schedule: Schedule) -> Generator[Cluster]:
    """Run a cluster whose workers run the model that follows the schedule."""
    cluster = Cluster(
        tmp_path_factory.mktemp("move"),
        worker_module="tests.worker.scripted",
        drain_grace_s="60",
        floor_alone_turns="1000",
        floor_alone_s="1000",
        **{SCHEDULE_FILE.lower(): str(schedule.path)},
    )
    try:
        yield cluster
    finally:
        cluster.end()


@pytest.fixture
def talking(talkers: Cluster, schedule: Schedule) -> Cluster:
    """Return that cluster with two idle workers."""
    schedule.write(TALK)
    talkers.become(services=1, workers=2)
    return talkers
