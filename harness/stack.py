"""Run the whole product as real processes: redis, LiveKit, token service, worker.

What `make run` starts, on free ports and without the launcher; the page is the built one.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx
import psutil
from livekit.api import TwirpError, TwirpErrorCode
from livekit.protocol.room import DeleteRoomRequest, ListRoomsRequest
from prometheus_client.parser import text_string_to_metric_families

from harness import servers
from harness.fork_server import FORKED, Fork

READY_WITHIN_S = 90.0  # a busy machine loads torch
OTHERS = ("whisper_process", "resource_tracker")  # a worker's children beside those of rooms


@dataclass(frozen=True)
class Stack:
    """The running product."""

    url: str
    worker_url: str
    livekit: servers.LiveKit
    redis_url: str
    worker_pid: int
    service_pid: int
    folder: Path  # of the logs: worker.log, token_service.log

    @property
    def origins(self) -> set[str]:
        """Return every origin to which the page may connect."""
        return {self.url, self.livekit.url, self.livekit.http_url}

    async def worker_metrics(self) -> dict[str, float]:
        """Return the worker's figures by name, each the sum over its labels."""
        async with httpx.AsyncClient(trust_env=False) as http:
            text = (await http.get(f"{self.worker_url}/metrics")).text
        figures: dict[str, float] = {}
        for metric in text_string_to_metric_families(text):
            for sample in metric.samples:
                figures[sample.name] = figures.get(sample.name, 0.0) + sample.value
        return figures

    async def slots_used_become(self, count: int) -> None:
        """Wait until the service counts this number of used slots."""
        async with (
            asyncio.timeout(READY_WITHIN_S),
            httpx.AsyncClient(trust_env=False, verify=False) as http,
        ):
            while (await http.get(f"{self.url}/api/config")).json()["slots_used"] != count:  # noqa: ASYNC110 - it sends no event
                await asyncio.sleep(0.1)

    async def recogniser_is_ready(self) -> None:
        """Wait until people's words are recognised: rooms open before the model is loaded."""
        async with asyncio.timeout(READY_WITHIN_S), httpx.AsyncClient(trust_env=False) as http:
            while (await http.get(self.worker_url)).json()["stt"]["state"] != "ready":  # noqa: ASYNC110 - it sends no event
                await asyncio.sleep(0.1)

    async def close_rooms(self) -> None:
        """Close every room of LiveKit."""
        async with self.livekit.client() as lkapi:
            for room in (await lkapi.room.list_rooms(ListRoomsRequest())).rooms:
                try:
                    await lkapi.room.delete_room(DeleteRoomRequest(room=room.name))
                except TwirpError as error:
                    has_ended = error.code == TwirpErrorCode.NOT_FOUND  # by itself meanwhile
                    if not has_ended:
                        raise

    def worker_frozen(self) -> AbstractContextManager[None]:
        """Freeze the worker, so that no persona joins meanwhile."""
        return frozen(self.worker_pid)


def room_processes(worker_pid: int) -> list[psutil.Process]:
    """Return the processes of a worker that host its rooms, without others."""
    children = psutil.Process(worker_pid).children()
    return [each for each in children if not any(map(" ".join(each.cmdline()).count, OTHERS))]


def worker_processes(worker_pid: int) -> list[psutil.Process]:
    """Return the main process of a worker and those of its rooms."""
    return [psutil.Process(worker_pid), *room_processes(worker_pid)]


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """Return the CPU time of processes so far."""
    return sum(sum(each.cpu_times()[:2]) for each in processes)


@contextmanager
def frozen(pid: int) -> Generator[None]:
    """Freeze a process and its children, as a container that is paused."""
    process = psutil.Process(pid)
    for each in (process, *process.children()):
        each.suspend()
    try:
        yield
    finally:
        for each in (process, *process.children()):
            each.resume()


@contextmanager
def start_stack(
    folder: Path, *, model: str, capacity: int, worker_module: str = "worker", **settings: str
) -> Generator[Stack]:
    """Run the product. Further settings are keyword arguments in lower case."""
    port, worker_port = servers.free_port(), servers.free_port()
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as running:
        redis_url = running.enter_context(servers.start_redis(folder))
        livekit = running.enter_context(servers.start_livekit(folder, webhook_url=f"{url}/webhook"))
        env = environment(livekit, redis_url) | {
            "PORT": str(port),
            "WORKER_PORT": str(worker_port),
            "MODEL": model,
            "CAPACITY": str(capacity),
        }
        env |= {name.upper(): value for name, value in settings.items()}
        worker = running.enter_context(
            module(worker_module, lambda: True, folder / "worker.log", env)
        )
        log = folder / "token_service.log"
        service = module("token_service", lambda: _answers(url), log, env)
        service_pid = running.enter_context(service)
        servers.wait_until(
            lambda: _status(f"{url}/ready") == HTTPStatus.OK or not psutil.pid_exists(worker),
            "the product is ready",
            READY_WITHIN_S,
        )
        worker_url = f"http://127.0.0.1:{worker_port}"
        with _terminated_together(service_pid, worker, livekit.pid):
            yield Stack(url, worker_url, livekit, redis_url, worker, service_pid, folder)


@contextmanager
def _terminated_together(*pids: int) -> Generator[None]:
    """Send SIGTERM to all these processes at the end, before each is waited for in turn."""
    processes = [psutil.Process(pid) for pid in pids]
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.terminate()


def environment(livekit: servers.LiveKit, redis_url: str) -> dict[str, str]:
    """Return the variables of both our processes in every test; rooms and workers end quickly."""
    return {
        "LIVEKIT_URL": livekit.url,
        "LIVEKIT_PUBLIC_URL": livekit.url,
        "LIVEKIT_API_KEY": livekit.api_key,
        "LIVEKIT_API_SECRET": livekit.api_secret,
        "REDIS_URL": redis_url,
        "HOST": "127.0.0.1",
        "MAX_STEP_SHARE": "1000",  # a slow machine's timings decide no test
        "EMPTY_ROOM_GRACE_S": "0.5",
        "DRAIN_GRACE_S": "1",
        "LOG_FORMAT": "json",
        "STT": "off",
    }


@contextmanager
def module(name: str, ready: Callable[[], bool], log: Path, env: dict[str, str]) -> Generator[int]:
    """Run one of our processes; yield its pid."""
    if name in FORKED:
        fork = Fork(name, log, os.environ | env)
        with servers.ending(fork, ready, log, READY_WITHIN_S):
            yield fork.pid
        return
    command = [sys.executable, "-m", name]
    with servers.running(command, ready, log, env, within_s=READY_WITHIN_S) as process:
        yield process.pid


def _answers(url: str) -> bool:
    return _status(f"{url}/health") == HTTPStatus.OK


def _status(url: str) -> int | None:
    try:
        return servers.HTTP.get(url, timeout=2.0).status_code
    except httpx.HTTPError:
        return None
