"""What tests of rooms share: a stack with the echo, one that follows a schedule, and figures.

A figure decides no test; it is for whoever reads the run's last lines.
"""

from collections.abc import Generator

import pytest

from harness.stack import Stack, start_stack
from protocol.personas import PERSONAS_PER_ROOM
from tests.worker.scripted.schedule import Schedule

HOLD_S, TURNS_ALONE = 1.2, 3  # patience of the floor in the stack of the schedule
MEASURED = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """The product with the model that repeats what it hears, and room for the largest cast."""
    with start_stack(
        tmp_path_factory.mktemp("roomy"), model="echo", capacity=PERSONAS_PER_ROOM
    ) as stack:
        yield stack


@pytest.fixture(scope="session")
def schedule(tmp_path_factory: pytest.TempPathFactory) -> Schedule:
    """What the personas want, to be written by the test."""
    return Schedule(tmp_path_factory.mktemp("schedule") / "wills.json")


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory, schedule: Schedule) -> Generator[Stack]:
    """The product with the model that follows the schedule, and a short patience."""
    with start_stack(
        tmp_path_factory.mktemp("scripted"),
        model="echo",  # not loaded
        capacity=4,
        worker_module="tests.worker.scripted",
        schedule_file=str(schedule.path),
        floor_hold_s=str(HOLD_S),
        floor_alone_turns=str(TURNS_ALONE),
    ) as stack:
        yield stack


@pytest.fixture
def measured(pytestconfig: pytest.Config) -> list[str]:
    """Lines for the summary."""
    return pytestconfig.stash.setdefault(MEASURED, [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what was measured."""
    if lines := config.stash.get(MEASURED, []):
        terminalreporter.section("measured in rooms")
        for line in lines:
            terminalreporter.write_line(line)
