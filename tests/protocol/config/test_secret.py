"""Secrets: one function reads them, and logs each reading with its reader."""

import re
import secrets
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from deploy.installers import PROJECT
from harness.servers import GivenSettings
from protocol.config import secret

OWN = secrets.token_hex(32)
VALUE_READERS = {"protocol/config/secret.py", "deploy/configuration.py"}  # which shows defaults


def test_a_read_is_logged_with_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log names the secret and its reader, and not its value."""
    structlog.reset_defaults()
    monkeypatch.setattr(secret, "log", structlog.stdlib.get_logger())  # the module's may be cached
    with capture_logs() as logged:
        value = secret.reveal(GivenSettings(livekit_api_secret=OWN), "livekit_api_secret", "a test")

    assert value == OWN
    assert logged == [
        {
            "event": "secret_read",
            "log_level": "info",
            "secret": "LIVEKIT_API_SECRET",
            "reader": "a test",
            "is_set": True,
        }
    ]


def test_a_secret_that_is_not_set_is_empty() -> None:
    """A secret that is not set is read as an empty text."""
    assert secret.reveal(GivenSettings(), "hf_token", "a test") == ""


def test_nothing_else_reads_a_value() -> None:
    """No code of ours but VALUE_READERS calls `get_secret_value`."""
    packages = ("protocol", "mind", "token_service", "worker", "deploy")
    readers = {
        str(path.relative_to(PROJECT))
        for package in packages
        for path in (PROJECT / package).rglob("*.py")
        if re.search(r"get_secret_value", path.read_text())
    }

    assert readers == VALUE_READERS


def test_a_log_line_of_the_settings_shows_no_secret() -> None:
    """Settings in a log line show no secret."""
    settings: Any = GivenSettings(livekit_api_secret=OWN, hf_token=OWN)

    assert OWN not in structlog.processors.JSONRenderer()(None, "info", {"settings": settings})  # type: ignore[arg-type]
