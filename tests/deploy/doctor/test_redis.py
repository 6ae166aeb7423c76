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
    """Set PATH to the test's folder; return it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def put(path: Path, name: str, says: str) -> Path:
    """Write a program that prints its version; return its path."""
    program = path / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("name", "says"),
    [("redis-server", REDIS.format("8.6.3")), ("valkey-server", VALKEY.format("9.1.2"))],
)
def test_the_machines_own_redis_is_taken(path: Path, name: str, says: str) -> None:
    """The machine's redis or valkey is taken if it has no known fault."""
    program = put(path, name, says)

    assert installers.redis_server() == program
    assert tools.redis_server().state == State.OK


def test_a_faulty_redis_is_skipped(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A redis with a known fault is skipped for the packaged one, and the message says why."""
    program = put(path, "redis-server", REDIS.format("6.2.14"))
    taken = installers.redis_server()

    assert taken.name == "valkey-server"
    assert installers.version_of(taken) >= (9, 1, 1)
    told = capsys.readouterr().err
    assert f"{program} is 6.2.14, skipped for CVE-2025-49844" in told
    assert "REDIS_URL=" in told


def test_a_faulty_redis_is_a_warning(path: Path) -> None:
    """A redis with a known fault is a warning of the doctor."""
    put(path, "redis-server", REDIS.format("7.0.15"))
    finding = tools.redis_server()

    assert (finding.code, finding.state) == ("redis_server.faulty", State.WARN)
    assert "CVE-" in finding.found
    assert "valkey-server" in finding.advice


def test_a_redis_without_faults_is_preferred(path: Path) -> None:
    """Beside a faulty redis, a valkey without faults on PATH is taken."""
    put(path, "redis-server", REDIS.format("7.0.15"))

    assert installers.redis_server() != (
        valkey := put(path, "valkey-server", VALKEY.format("9.1.2"))
    )
    assert installers.redis_server() == valkey
