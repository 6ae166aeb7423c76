"""Which redis `make run` takes: the machine's own without known faults, else the packaged one."""

from pathlib import Path

import pytest

from deploy import installers
from deploy.doctor import tools
from deploy.doctor.finding import State

REDIS = "Redis server v={} sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=a93cc8bfe1e1a1"
VALKEY = "Valkey server v={} sha=00000000:1 malloc=libc bits=64 build=1536df31c0395150"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH that holds what a test puts there, and a shell to run it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def put(path: Path, name: str, says: str) -> Path:
    """A program that says its version."""
    program = path / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("name", "says"),
    [("redis-server", REDIS.format("8.6.3")), ("valkey-server", VALKEY.format("9.1.2"))],
)
def test_the_machines_own_is_taken(path: Path, name: str, says: str) -> None:
    """Redis or valkey, where nothing is known against it."""
    program = put(path, name, says)

    assert installers.redis_server() == program
    assert tools.redis_server().state == State.OK


def test_a_faulty_one_is_passed_over(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The packaged one is taken; the finding says why, and how to use a fixed one."""
    program = put(path, "redis-server", REDIS.format("6.2.14"))
    taken = installers.redis_server()

    assert taken.name == "valkey-server"
    assert installers.version_of(taken) >= (9, 1, 1)
    told = capsys.readouterr().err
    assert f"{program} is 6.2.14, skipped for CVE-2025-49844" in told
    assert "REDIS_URL=" in told


def test_the_doctor_tells_of_it(path: Path) -> None:
    """As a warning: `make run` works."""
    put(path, "redis-server", REDIS.format("7.0.15"))
    finding = tools.redis_server()

    assert (finding.code, finding.state) == ("redis_server.faulty", State.WARN)
    assert "CVE-" in finding.found
    assert "valkey-server" in finding.advice


def test_of_two_the_sound_one_is_taken(path: Path) -> None:
    """An old redis beside a new valkey is no reason to take another."""
    put(path, "redis-server", REDIS.format("7.0.15"))

    assert installers.redis_server() != (
        valkey := put(path, "valkey-server", VALKEY.format("9.1.2"))
    )
    assert installers.redis_server() == valkey
