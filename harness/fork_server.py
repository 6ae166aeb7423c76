"""Start our own processes for tests as forks of a server that has imported their modules once.

Before its first line a worker computes for 3 s, or 6 with torch, and a token service for 2: almost
all of it imports. Python's own fork server (`multiprocessing`) does that once per run of tests. A
fork has the environment, log, process group and end of `python -m …`; real command lines start in
the tests of `make run`, images and charts, and wherever a run has few files.
"""

import importlib
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from deploy.launch.die_with_parent import tie_to

CONTEXT = multiprocessing.get_context("forkserver")
# The last one keeps what was imported out of the forks' garbage collections.
PRELOADED = ["worker.worker", "token_service.__main__", "worker.engine.load", "harness.frozen"]
WITHIN_S = 60.0
FORKED: set[str] = set()  # the packages that start as forks; each `__main__` has a `main`


def fork_from_now_on() -> None:
    """Start the product's processes as forks. The server starts with the first of them."""
    CONTEXT.set_forkserver_preload(PRELOADED)
    FORKED.update(("worker", "token_service", "tests.worker.scripted"))


class Fork:
    """A forked process, with what the tests use of `subprocess.Popen`."""

    def __init__(
        self,
        name: str,
        log: Path,
        env: dict[str, str],
        arguments: tuple[str, ...] = (),
        errors: Path | None = None,  # None: also `log`
    ) -> None:
        self._process = CONTEXT.Process(target=_run, args=(name, log, env, arguments, errors))
        self._process.start()
        self.pid: int = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        """Return the exit status; None while the process runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit status; None while the process runs."""
        return self._process.exitcode

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
        return self._process.exitcode


def finished(
    name: str, *arguments: str, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `python -m name` to its end; as a fork in a run of tests that starts many processes."""
    if not FORKED:
        command = [sys.executable, "-m", name, *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=WITHIN_S)
    with TemporaryDirectory() as folder:
        out, errors = Path(folder) / "out", Path(folder) / "errors"
        fork = Fork(name, out, dict(env), arguments, errors)
        try:
            status = fork.wait(WITHIN_S)
        except BaseException:  # also a test's time limit
            fork.kill()
            raise
        return subprocess.CompletedProcess(name, status, out.read_text(), errors.read_text())


def _run(
    name: str, log: Path, env: dict[str, str], arguments: tuple[str, ...], errors: Path | None
) -> None:
    """Run the `main` of a package in this fork, as `python -m` would. Its output goes to `log`."""
    tie_to(os.getppid())
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    for standard, path in ((1, log), (2, errors)):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(1 if path is None else os.open(path, flags, 0o644), standard)
    sys.argv = [name, *arguments]
    sys.exit(importlib.import_module(f"{name}.__main__").main())
