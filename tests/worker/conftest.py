"""Servers that the tests of rooms share: one with the echo, one that follows a schedule."""

from collections.abc import Generator

import pytest

from harness.stack import Stack, start_stack
from protocol.personas import PERSONAS_PER_ROOM
from tests.worker.scripted.schedule import Schedule

HOLD_S, TURNS_ALONE = 1.2, 3  # the floor's limits in the `scripted` stack


@pytest.fixture(scope="session")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Start the product with the echo and a slot for each persona of the largest room."""
    with start_stack(
        tmp_path_factory.mktemp("roomy"), model="echo", capacity=PERSONAS_PER_ROOM
    ) as stack:
        yield stack


@pytest.fixture(scope="session")
def schedule(tmp_path_factory: pytest.TempPathFactory) -> Schedule:
    """Return the schedule of what each persona says, which a test writes."""
    return Schedule(tmp_path_factory.mktemp("schedule") / "wills.json")


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory, schedule: Schedule) -> Generator[Stack]:
    """Start the product with the model that follows the schedule, and short waits for a turn."""
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
