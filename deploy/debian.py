"""Programs of Debian's packages, unpacked into the cache: nothing is installed or started."""

import os
import shutil
import tempfile
from pathlib import Path

from deploy.wheels import ProgramMissing, announce, cache_dir, one_at_a_time, run


def from_package(package: str, inside: str) -> Path:
    """Return a program of a Debian package. Raises `ProgramMissing` where there is no apt."""
    folder = cache_dir() / f"debian-{package}"
    with one_at_a_time(package):
        if not (folder / inside).exists():
            if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
                raise ProgramMissing(f"{package}: install it; it is not on PATH, nor is apt-get")
            announce(f"{package} is missing: unpacking Debian's package into {folder}")
            _unpack(package, folder)
    return folder / inside


def _unpack(package: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="package-") as scratch:
        if os.geteuid() == 0:
            run(["apt-get", "update"], package, must_work=False)
        fetch = f"apt-get -o APT::Sandbox::User=root download {package}"
        run(["sh", "-c", f'cd "{scratch}" && {fetch} && dpkg-deb -x *.deb unpacked'], package)
        Path(scratch, "unpacked").rename(folder)
