"""Start real servers for tests: redis and LiveKit on free loopback ports.

Context managers only; `conftest.py` makes fixtures of them. Reads no `.env` and no user file.
Started by `deploy.launch.die_with_parent`, so that a killed pytest leaves nothing behind either.
"""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import redis
import yaml
from livekit import api
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import PydanticBaseSettingsSource as Source

from deploy import installers
from deploy.launch.die_with_parent import tethered
from harness.fork_server import Fork
from protocol.config.settings import DEVELOPMENT_SECRET, Settings

About = TypeVar("About")
Process = subprocess.Popen[bytes] | Fork

OWN_PORTS = range(10_000, 32_768)  # below those of Linux's connections
START_WITHIN_S = 60.0  # a deadline for a busy machine
STOP_WITHIN_S = 1.0  # LiveKit takes 5 s to say goodbye, which no test reads
ATTEMPTS = 3  # another process may take a free port first


# One client for all polls: each `httpx.get` loads the certificates anew, 17 ms of a core.
HTTP = httpx.Client(trust_env=False, verify=False, limits=httpx.Limits(max_keepalive_connections=0))


class ServerFailed(RuntimeError):
    """A server did not start; the text ends with what it logged."""


@dataclass(frozen=True)
class LiveKit:
    """One running LiveKit server."""

    url: str
    http_url: str
    api_key: str
    api_secret: str = field(repr=False)
    port: int
    pid: int
    log: Path

    def client(self) -> api.LiveKitAPI:
        """Return a client of its server API: `async with livekit.client() as lkapi`."""
        return api.LiveKitAPI(self.http_url, self.api_key, self.api_secret)


class GivenSettings(Settings):
    """Settings from their arguments alone: no environment, no `.env`, no user file."""

    model_config = SettingsConfigDict(toml_file=None, env_file=None)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: Source, *_: Any, **others: Any
    ) -> tuple[Source, ...]:
        """Use the arguments only."""
        return (init_settings,)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a loopback port that is free at this moment, and that Linux gives to no connection.

    Of its own choice another process's connection may have got one before the server has.
    """
    while True:
        with socket.socket(socket.AF_INET, kind) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", secrets.choice(OWN_PORTS)))  # `random` is seeded by pytest
            return int(probe.getsockname()[1])


def wait_until(
    holds: Callable[[], bool], what: str, within_s: float = START_WITHIN_S, every_s: float = 0.02
) -> None:
    """Wait for a condition, with a deadline. Raises `TimeoutError` that names it."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        time.sleep(every_s)


def gone(processes: Iterable[psutil.Process]) -> bool:
    """Return whether all these processes have ended."""

    def runs(process: psutil.Process) -> bool:
        with suppress(psutil.NoSuchProcess):
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return False

    return not any(map(runs, processes))


@contextmanager
def running(
    command: Sequence[str],
    ready: Callable[[], bool],
    log: Path,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    within_s: float = START_WITHIN_S,
) -> Generator[subprocess.Popen[bytes]]:
    """Run a process; at the end send SIGTERM, then SIGKILL. Its output goes to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            tethered(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | (env or {}),
            cwd=cwd,
            start_new_session=True,  # Ctrl-C is for pytest, which then ends this in its own order
        )
        with ending(process, ready, log, within_s):
            yield process


@contextmanager
def ending(
    process: Process, ready: Callable[[], bool], log: Path, within_s: float = START_WITHIN_S
) -> Generator[None]:
    """Wait until a process is ready; at the end send SIGTERM, then SIGKILL."""
    try:
        _wait_ready(process, ready, log, within_s)
        yield
    finally:
        stop(process)


def stop(process: Process) -> None:
    """End a process and wait until it is gone."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def start_redis(folder: Path, port: int | None = None) -> Generator[str]:
    """Run a redis without files; yield its URL. `port` fixes the address."""

    def server() -> tuple[AbstractContextManager[subprocess.Popen[bytes]], str]:
        at = port or free_port()
        command = [str(installers.redis_server()), "--port", str(at), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
        url = f"redis://127.0.0.1:{at}/0"
        return running(command, lambda: redis_answers(url), folder / f"redis-{at}.log"), url

    with ExitStack() as stack:
        _, url = _started(stack, server)
        yield url


@contextmanager
def start_livekit(
    folder: Path,
    *,
    webhook_url: str | None = None,
    redis_url: str | None = None,
    port: int | None = None,
    settings: dict[str, Any] | None = None,
) -> Generator[LiveKit]:
    """Run a LiveKit server; `settings` replace keys of its configuration.

    `port` fixes the address, for a server that comes back where it was.
    """

    def server() -> tuple[AbstractContextManager[subprocess.Popen[bytes]], dict[str, Any]]:
        config = _livekit_config(port or free_port(), webhook_url, redis_url) | (settings or {})
        path = folder / f"livekit-{config['port']}.yaml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        url = f"http://127.0.0.1:{config['port']}"
        command = [str(installers.livekit_server()), "--config", str(path)]
        return running(command, lambda: http_answers(url), path.with_suffix(".log")), config

    with ExitStack() as stack:
        process, config = _started(stack, server)
        at = f"127.0.0.1:{config['port']}"
        key, secret = next(iter(config["keys"].items()))
        log = folder / f"livekit-{config['port']}.log"
        yield LiveKit(f"ws://{at}", f"http://{at}", key, secret, config["port"], process.pid, log)


def _started(
    stack: ExitStack,
    server: Callable[[], tuple[AbstractContextManager[subprocess.Popen[bytes]], About]],
) -> tuple[subprocess.Popen[bytes], About]:
    """Enter the first server that starts; each attempt has new ports."""
    for _ in range(ATTEMPTS - 1):
        starting, about = server()
        try:
            return stack.enter_context(starting), about
        except ServerFailed:
            continue
    starting, about = server()
    return stack.enter_context(starting), about


def _livekit_config(port: int, webhook_url: str | None, redis_url: str | None) -> dict[str, Any]:
    config: dict[str, Any] = {
        "port": port,
        "bind_addresses": ["127.0.0.1"],
        "rtc": {
            "tcp_port": free_port(),
            "udp_port": free_port(socket.SOCK_DGRAM),
            "use_external_ip": False,
            "node_ip": "127.0.0.1",
            "enable_loopback_candidate": True,
            "interfaces": {"includes": ["lo"]},
            "stun_servers": ["127.0.0.1:3478"],  # unused: by default clients ask public ones
        },
        "keys": {"devkey": DEVELOPMENT_SECRET},
        "agents": {"target_load": 1.0},
        "logging": {"level": "info", "json": True},
    }
    if webhook_url:
        config["webhook"] = {"api_key": "devkey", "urls": [webhook_url]}
    if redis_url:
        address, _, database = redis_url.removeprefix("redis://").partition("/")
        config["redis"] = {"address": address, "db": int(database or 0)}
    return config


def _wait_ready(process: Process, ready: Callable[[], bool], log: Path, within_s: float) -> None:
    def answered_or_ended() -> bool:
        return process.poll() is not None or ready()

    try:
        wait_until(answered_or_ended, f"{log.stem} answers", within_s)
    except TimeoutError as error:
        raise ServerFailed(f"{error}\n{_tail(log)}") from error
    if process.poll() is not None:
        raise ServerFailed(f"{log.stem} ended with {process.returncode}\n{_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def redis_answers(url: str) -> bool:
    """Return whether a redis answers."""
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def http_answers(url: str) -> bool:
    """Return whether a GET is answered with 200."""
    try:
        return HTTP.get(url, timeout=1.0).status_code == HTTPStatus.OK
    except httpx.HTTPError:
        return False
