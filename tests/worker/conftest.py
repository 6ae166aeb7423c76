"""What tests of rooms share: one stack with the echo, and the figures that they measure by the way.

A figure decides no test; it is for whoever reads the run's last lines.
"""

from collections.abc import Generator

import pytest

from protocol.personas import PERSONAS_PER_ROOM
from tests.stack import Stack, start_stack

MEASURED = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """The product with the model that repeats what it hears, and room for the largest cast."""
    with start_stack(
        tmp_path_factory.mktemp("roomy"), model="echo", capacity=PERSONAS_PER_ROOM
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
