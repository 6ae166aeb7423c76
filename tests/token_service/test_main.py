"""`python -m token_service`: its start, its end by a signal, and its refusal of wrong settings."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from harness import servers

COMMAND = [sys.executable, "-m", "token_service"]


@pytest.fixture
def environment(tmp_path: Path) -> Generator[dict[str, str]]:
    """Return the environment of a service whose redis and LiveKit do not run."""
    yield {
        "HOST": "127.0.0.1",
        "PORT": str(servers.free_port()),
        "REDIS_URL": f"redis://127.0.0.1:{servers.free_port()}/0",
        "LIVEKIT_URL": f"ws://127.0.0.1:{servers.free_port()}",
        "LOG_FORMAT": "json",
    }


def answers(environment: dict[str, str]) -> bool:
    """Return whether the service answers `/health`."""
    url = f"http://127.0.0.1:{environment['PORT']}/health"
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_it_serves_until_a_signal_comes(environment: dict[str, str], tmp_path: Path) -> None:
    """The service runs without redis and LiveKit, and SIGTERM ends it without a traceback."""
    log = tmp_path / "service.log"
    with servers.running(COMMAND, lambda: answers(environment), log, environment) as process:
        process.send_signal(signal.SIGTERM)
        process.wait(10)

    assert "Traceback" not in log.read_text()
    assert "Application shutdown complete." in log.read_text()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"DEFAULT_PERSONA": "hal"},
            "DEFAULT_PERSONA='hal': choices: assistant, astronaut, chef, customer_service, teacher",
        ),
        (
            {"AUDIT_LOG": "/proc/none"},
            "AUDIT_LOG='/proc/none': expected a file to write to: No such file or directory",
        ),
    ],
    ids=["persona", "audit log"],
)
def test_a_wrong_setting_ends_the_service_with_one_line(
    environment: dict[str, str], wrong: dict[str, str], said: str
) -> None:
    """An invalid setting ends the process with EX_CONFIG and one line that names the setting."""
    done = subprocess.run(
        COMMAND,
        env=os.environ | environment | wrong,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (os.EX_CONFIG, f"token_service: {said}\n")
