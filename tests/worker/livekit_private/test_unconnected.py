"""A worker whose model is loaded but which cannot connect to LiveKit: where the reason is shown."""

import secrets
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from harness import servers
from harness.servers import LiveKit, free_port, wait_until
from harness.stack import environment, module
from protocol.heartbeat import Heartbeat
from tests.conftest import SettingsFor
from worker import worker as main
from worker.livekit_private.registration import Registration
from worker.room_process.room_processes import RoomProcesses


def test_a_wrong_secret_is_shown_and_logged(livekit: LiveKit, tmp_path: Path) -> None:
    """`/ready`, `/api/config`, the worker's status and warnings say that the secret is wrong."""
    ports = {name: str(free_port()) for name in ("PORT", "WORKER_PORT")}
    url, own_view = (f"http://127.0.0.1:{port}" for port in ports.values())
    wrong = {"LIVEKIT_API_SECRET": secrets.token_hex(32)}
    reason = (
        "the model is loaded, not connected to LiveKit: "
        f"LiveKit at {livekit.url} has another secret for the key 'devkey'"
    )
    with servers.start_redis(tmp_path) as redis_url:
        env = environment(livekit, redis_url) | ports | {"MODEL": "echo", "LOG_LEVEL": "warning"}
        with (
            module("token_service", lambda: True, tmp_path / "token_service.log", env),
            module("worker", lambda: True, tmp_path / "worker.log", env | wrong),
        ):
            wait_until(lambda: reason[1:] in answer_of(f"{url}/ready")["reason"], "/ready says why")
            ready, page = answer_of(f"{url}/ready"), answer_of(f"{url}/api/config")
            worker = answer_of(own_view)

    assert ready == {"ready": False, "code": "connecting", "reason": f"T{reason[1:]}."}
    assert {name: page[name] for name in ready} == ready
    assert (worker["state"], worker["reason"]) == ("connecting", reason)
    log = (tmp_path / "worker.log").read_text()
    assert log.count(reason) == 1
    assert wrong["LIVEKIT_API_SECRET"] not in log


def answer_of(url: str) -> dict[str, str]:
    """Return the JSON at an address; an empty reason as long as no server answers."""
    try:
        return httpx.get(url, timeout=2.0, trust_env=False).json()
    except httpx.HTTPError:
        return {"reason": ""}


async def test_a_worker_that_gives_up_leaves_its_reason(
    redis_url: str, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that gives up on LiveKit leaves a last heartbeat with the reason and no rooms."""

    class Impatient(Registration):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.update_options(max_retry=0)

    monkeypatch.setattr("worker.jobs.Registration", Impatient)
    url = f"ws://127.0.0.1:{free_port()}"
    settings = settings_for(
        livekit_url=url, redis_url=redis_url, worker_port=free_port(), model="echo", capacity=1
    )
    rooms = RoomProcesses(settings, "spawn")  # this process has threads
    worker, before = main.Worker(settings, rooms), non_daemon_threads()
    with pytest.raises(ConnectionError) as caught:
        await worker.run()
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        key = f"moshi:worker:{worker.status.worker_id}"
        left = Heartbeat.model_validate_json(await redis.getdel(key))

    reason = f"the model is loaded, not connected to LiveKit: {url} does not answer: "
    assert str(caught.value).startswith(f"{reason}Connection refused (failed to connect")
    assert (left.state, left.reason, left.hosts) == ("error", str(caught.value), {})
    assert non_daemon_threads() <= before


def non_daemon_threads() -> set[threading.Thread]:
    """Return the threads that keep this process alive, without those of an event loop."""
    alive = {thread for thread in threading.enumerate() if not thread.daemon}
    return {thread for thread in alive if not thread.name.startswith("asyncio_")}
