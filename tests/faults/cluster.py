"""The product as processes that a test kills, freezes and restarts, each at a fixed address."""

import os
import signal
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import redis

from harness import servers
from harness.servers import HTTP
from harness.stack import environment, frozen, module
from protocol.heartbeat import Heartbeat, heartbeat_key

READY_WITHIN_S = 90.0  # of a busy machine
CAPACITY = 4
Starting = Callable[[], AbstractContextManager[int]]


class Part:
    """One process that a test starts and stops; `starting` yields its pid."""

    def __init__(self, starting: Starting) -> None:
        self._starting = starting
        self._running = ExitStack()
        self.pid = 0  # while it does not run

    def start(self) -> None:
        """Start it, unless it runs."""
        if not self.pid:
            self.pid = self._running.enter_context(self._starting())

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def drain(self) -> None:
        """Tell it to stop with SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)

    def stop(self) -> None:
        """Stop it with SIGTERM, and after a second with SIGKILL."""
        self._running.close()
        self.pid = 0

    def frozen(self) -> AbstractContextManager[None]:
        """Freeze it with its children."""
        return frozen(self.pid)


class Web(Part):
    """A process with a health report over HTTP."""

    def __init__(self, starting: Starting, health: str) -> None:
        super().__init__(starting)
        self._health = health

    @property
    def url(self) -> str:
        """Return the base URL."""
        return self._health.rpartition("/")[0]

    def told(self) -> dict[str, Any]:
        """Return its health report; empty while it is away."""
        try:
            return HTTP.get(self._health, timeout=2.0).json()
        except httpx.HTTPError:
            return {}

    def asked(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """Return the answer to a POST."""
        return HTTP.post(self.url + path, json=body, timeout=10.0)

    def deletes(self, path: str) -> int:
        """Return the status of the answer to a DELETE."""
        return HTTP.delete(self.url + path, timeout=10.0).status_code

    def reads(self, path: str) -> str:
        """Return the text of the answer to a GET."""
        return HTTP.get(self.url + path, timeout=10.0).text


class Cluster:
    """A redis, a LiveKit, and as many token services and workers as are asked for."""

    def __init__(
        self, folder: Path, model: str = "echo", worker_module: str = "worker", **settings: str
    ) -> None:
        """`settings` are those of workers, in lower case."""
        self._folder, self._worker_module = folder, worker_module
        self._settings = {name.upper(): value for name, value in settings.items()}
        self._settings["MODEL"] = model
        self.recordings = folder / "recordings"
        self._livekit_port = servers.free_port()
        self._redis_port = servers.free_port()
        self.redis_url = f"redis://127.0.0.1:{self._redis_port}/0"
        self.redis = Part(self._redis)
        self.livekit = Part(self._livekit)
        self.visitor = Part(self._visitor)  # a client that calls two personas
        self.sfu: servers.LiveKit  # from its first start on
        self._livekit_redis = False
        self.services: list[Web] = []
        self.workers: list[Web] = []

    @property
    def url(self) -> str:
        """Return the URL of the first token service."""
        return self.services[0].url

    def become(self, *, services: int = 1, workers: int = 2, livekit_redis: bool = False) -> None:
        """Start or stop processes until this many run and are idle."""
        while len(self.services) < services:
            self.services.append(self._service(f"service-{len(self.services)}"))
        while len(self.workers) < workers:
            self.workers.append(self._worker(f"worker-{len(self.workers)}"))
        self.visitor.stop()
        if self._livekit_redis != livekit_redis:
            self.livekit.stop()
            self._livekit_redis = livekit_redis
        self.redis.start()
        self.livekit.start()
        for parts, wanted in ((self.services, services), (self.workers, workers)):
            for part in parts[:wanted]:
                part.start()
            for part in parts[wanted:]:
                part.stop()
        servers.wait_until(
            lambda: self._idle(workers), "the cluster is ready and idle", READY_WITHIN_S
        )

    def end(self) -> None:
        """Stop everything: each part ends while the others do."""
        parts = (self.visitor, *self.services, *self.workers, self.livekit, self.redis)
        for part in parts:
            if part.pid:
                part.drain()
        for part in parts:
            part.stop()

    def forget(self) -> None:
        """Let redis lose everything, as after a start with an empty disk."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()

    def heartbeats(self) -> list[Heartbeat]:
        """Return the workers' heartbeats in redis."""
        with redis.Redis.from_url(self.redis_url, decode_responses=True) as client:
            keys = list(client.scan_iter(heartbeat_key("*")))
            texts: Any = client.mget(keys) if keys else []
        return [Heartbeat.model_validate_json(text) for text in texts if text]

    def beats(self, worker_id: str) -> bool:
        """Return whether a worker has a heartbeat."""
        return worker_id in {each.worker_id for each in self.heartbeats()}

    def all_ready(self) -> bool:
        """Return whether every worker is ready."""
        states = [each.state for each in self.heartbeats()]
        return states == ["ready"] * len(self.workers)

    def host_of(self, room: str) -> Web:
        """Return the worker that hosts a room."""
        [name] = [each.worker_id for each in self.heartbeats() if room in each.hosts]
        [host] = [worker for worker in self.workers if worker.told().get("worker_id") == name]
        return host

    def slots_used(self) -> int:
        """Return the number of slots in use."""
        return sum(each.slots_used for each in self.heartbeats())

    def _idle(self, workers: int) -> bool:
        beats = self.heartbeats()
        serving = all(part.told() for part in self.services if part.pid)
        ready = [each for each in beats if each.state == "ready" and each.slots_free == CAPACITY]
        return serving and len(beats) == len(ready) == workers

    @contextmanager
    def _redis(self) -> Generator[int]:
        with servers.start_redis(self._folder, self._redis_port) as url:
            with redis.Redis.from_url(url) as client:
                about: Any = client.info("server")
            yield int(about["process_id"])

    @contextmanager
    def _livekit(self) -> Generator[int]:
        port, webhook = self._livekit_port, f"{self.url}/webhook"
        redis_url = self.redis_url if self._livekit_redis else None
        with servers.start_livekit(
            self._folder, port=port, webhook_url=webhook, redis_url=redis_url
        ) as livekit:
            self.sfu = livekit
            yield livekit.pid

    @contextmanager
    def _visitor(self) -> Generator[int]:
        log, told = self._folder / "visitor.log", {"VISIT_URL": self.url}
        with module("tests.faults.visitor", lambda: True, log, told) as pid:
            yield pid

    def _service(self, name: str) -> Web:
        port = servers.free_port()
        health = f"http://127.0.0.1:{port}/health"
        return self._web(
            "token_service", name, {"PORT": str(port)}, health, lambda: servers.http_answers(health)
        )

    def _worker(self, name: str) -> Web:
        port = servers.free_port()
        env = self._settings | {"WORKER_PORT": str(port), "CAPACITY": str(CAPACITY)}
        return self._web(self._worker_module, name, env, f"http://127.0.0.1:{port}/", lambda: True)

    def _web(
        self, what: str, name: str, env: dict[str, str], health: str, ready: Callable[[], bool]
    ) -> Web:
        """Return a part that is one of our processes, with a fixed address."""

        @contextmanager
        def starting() -> Generator[int]:
            told = environment(self.sfu, self.redis_url) | {"RECORD_DIR": str(self.recordings)}
            told |= env
            with module(what, ready, self._folder / f"{name}.log", told) as pid:
                yield pid

        return Web(starting, health)
