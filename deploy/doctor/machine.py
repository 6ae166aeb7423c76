"""Python, C compiler and disk of this machine."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from deploy.doctor.finding import Finding, fail, ok, warn

PYTHONS = ((3, 11), (3, 12))
SPARE_BYTES = 1 << 30  # logs, programs, the page
PACKAGES_BYTES = 12 << 30  # torch with CUDA: 8 GiB installed, as much again while it is unpacked
COMPILERS = ("gcc", "clang", "cc")
# What triton builds at run time needs Python's own headers, which some systems pack separately.
PROGRAM = "#include <Python.h>\nint main(void) { return 0; }\n"


def python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Finding:
    """Check the version of Python."""
    name = ".".join(map(str, version))
    if version[:2] in PYTHONS:
        return ok("python.ok", f"Python {name}, {sys.executable}")
    advice = "install one, then `make clean run PYTHON=<path>`"
    return fail("python.unsupported", f"Python {name}; 3.11 or 3.12 is needed", advice)


def compiler(*, on_gpu: bool) -> Finding:
    """Check the C compiler, which torch and triton need at run time on a GPU."""
    if not on_gpu:
        return ok("compiler.unneeded", "no C compiler is needed: nothing is compiled on a CPU")
    advice = (
        "apt-get install gcc libc6-dev python3-dev (the image of Dockerfile.gpu has them); without "
        "them conversations stay in bfloat16, half as many"
    )
    found = os.environ.get("CC") or next(filter(None, map(shutil.which, COMPILERS)), None)
    if found is None:
        return warn("compiler.missing", "no gcc, clang or cc on PATH, and CC is not set", advice)
    if (complaint := _complaint(found)) is not None:
        return warn("compiler.broken", f"{found} cannot build a program: {complaint}", advice)
    return ok("compiler.ok", f"{found} builds programs with Python's headers")


def disk(folder: Path, to_fetch_bytes: int) -> Finding:
    """Check that a folder is writable and has space for the coming downloads."""
    there = next(each for each in (folder, *folder.parents) if each.is_dir())
    advice = "CACHE_DIR=… and HF_HOME=… name other folders"
    if (complaint := _unwritable(folder, there)) is not None:
        return fail("disk.unwritable", f"{folder}: {complaint}", advice)
    return space(there, folder, to_fetch_bytes + SPARE_BYTES, f"free space there; {advice}")


def packages(project: Path) -> Iterator[Finding]:
    """Check the space for what `make run` installs, if it has not been installed yet."""
    if find_spec("torch") is None:
        folder = project / ".venv"
        yield space(project, folder, PACKAGES_BYTES, "free space there, or clone to another disk")


def space(there: Path, folder: Path, need: int, advice: str) -> Finding:
    """Check the free space of a folder; `there` is its closest existing parent."""
    free = shutil.disk_usage(there).free
    found = f"{gib(free)} free in {folder}, {gib(need)} needed"
    return ok("disk.ok", found) if free >= need else fail("disk.small", found, advice)


def gib(count: int) -> str:
    """Return bytes in GiB, as text."""
    return f"{count / (1 << 30):.1f} GiB"


def _unwritable(folder: Path, there: Path) -> str | None:
    if there != folder and (there / folder.relative_to(there).parts[0]).exists():
        return "a part of this path is not a folder"
    try:
        with tempfile.TemporaryFile(dir=there):
            return None
    except OSError as error:
        return error.strerror or str(error)


def _complaint(program: str) -> str | None:
    """Build a small program; return the first line of the compiler's error, or `None`."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "probe.c")
        source.write_text(PROGRAM, encoding="utf-8")
        include = sysconfig.get_paths()["include"]
        command = [program, f"-I{include}", str(source), "-o", f"{scratch}/probe"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        except OSError as error:
            return error.strerror or str(error)
    if done.returncode == 0:
        return None
    return next(iter(done.stderr.splitlines()), f"exit status {done.returncode}")
