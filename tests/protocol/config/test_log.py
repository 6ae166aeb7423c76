"""The log: one line of JSON per event, also of libraries."""

import json
import logging
from collections.abc import Generator

import pytest
import structlog

from protocol.config.log import configure_logging
from tests.conftest import SettingsFor


@pytest.fixture(autouse=True)
def same_logging_afterwards() -> Generator[None]:
    """Restore the process's logging after the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """Return the logged lines as data, without the time."""
    read = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [{key: value for key, value in each.items() if key != "timestamp"} for each in read]


def test_an_event_is_a_line_of_json(
    settings_for: SettingsFor, capsys: pytest.CaptureFixture[str]
) -> None:
    """An event is one line with its fields, level and logger, and nothing else."""
    configure_logging(settings_for(log_format="json"))
    structlog.stdlib.get_logger("ours").info("room_dispatched", room="r")

    assert lines(capsys) == [
        {"event": "room_dispatched", "room": "r", "level": "info", "logger": "ours"}
    ]


def test_libraries_log_in_the_same_format(
    settings_for: SettingsFor, capsys: pytest.CaptureFixture[str]
) -> None:
    """The standard library's loggers write lines of the same format."""
    configure_logging(settings_for(log_format="json"))
    logging.getLogger("theirs").warning("late by %d ms", 7)

    assert lines(capsys) == [{"event": "late by 7 ms", "level": "warning", "logger": "theirs"}]


def test_the_level_is_the_settings(
    settings_for: SettingsFor, capsys: pytest.CaptureFixture[str]
) -> None:
    """Events below LOG_LEVEL are not written."""
    configure_logging(settings_for(log_format="json", log_level="warning"))
    structlog.stdlib.get_logger("ours").info("quiet")

    assert lines(capsys) == []
