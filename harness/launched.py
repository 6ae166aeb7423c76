"""Run `make run` without make, on free ports; read its log and its processes."""

import os
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from harness.servers import free_port, wait_until

READY_WITHIN_S = 100.0


class Launched:
    """A launcher and its log."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str]) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | environment
            )

    def said(self) -> str:
        """Return the log so far."""
        return self._log.read_text(errors="replace")

    def wait_until_said(self, words: str, within_s: float = 20.0) -> None:
        """Wait for words in the log, or for the launcher's end."""
        wait_until(lambda: words in self.said() or self.process.poll() is not None, words, within_s)

        assert words in self.said(), self.said()[-3000:]

    def family(self) -> list[psutil.Process]:
        """Return all descendants of the launcher."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> None:
        """Kill the launcher and the remaining processes."""
        left = self.family() if self.process.poll() is None else []
        self.process.kill()
        self.process.wait()
        for process in left:  # most have followed the launcher by now
            with suppress(psutil.NoSuchProcess):
                process.kill()


@contextmanager
def make_run(log: Path, settings: dict[str, str]) -> Generator[Launched]:
    """Run the product."""
    launched = Launched([sys.executable, "-m", "deploy.launch.run"], log, settings)
    try:
        yield launched
    finally:
        launched.end()


def addresses(home: Path) -> dict[str, str]:
    """Return settings with free ports, without a user file, with the echo."""
    return {
        "HOME": str(home),
        "CACHE_DIR": os.environ.get("CACHE_DIR") or str(Path("~/.cache/moshi-rooms").expanduser()),
        "MODEL": "echo",
        "STT": "off",
        "NODE_IP": "127.0.0.1",  # tests send nothing elsewhere
        "PORT": str(free_port()),
        "WORKER_PORT": str(free_port()),
        "LIVEKIT_PORT": str(three_free_ports()),
        "REDIS_PORT": str(free_port()),
    }


def three_free_ports() -> int:
    """Return the first of three free neighbouring ports for LiveKit's HTTP, TCP and UDP."""
    while True:
        first = free_port()
        try:
            with (
                socket.create_server(("127.0.0.1", first + 1)),
                socket.socket(type=socket.SOCK_DGRAM) as udp,
            ):
                udp.bind(("127.0.0.1", first + 2))
                return first
        except OSError:
            continue
