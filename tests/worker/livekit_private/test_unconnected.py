"""A worker whose model is loaded and whose LiveKit does not let it in: everybody is told why."""

import secrets
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from harness import servers
from harness.servers import LiveKit, free_port, wait_until
from harness.stack import environment, module
from protocol.config.settings import Settings
from protocol.heartbeat import Heartbeat
from tests.conftest import SettingsFor
from worker import __main__ as main
from worker.livekit_private.registration import Registration


def test_another_secret_is_told_wherever_one_looks(livekit: LiveKit, tmp_path: Path) -> None:
    """`/ready`, the page, the worker's own view and its log: loaded, not connected, because …"""
    ports = {name: str(free_port()) for name in ("PORT", "WORKER_PORT")}
    url, own_view = (f"http://127.0.0.1:{port}" for port in ports.values())
    wrong = {"LIVEKIT_API_SECRET": secrets.token_hex(32)}
    reason = (
        "the model is loaded, not connected to LiveKit: "
        f"LiveKit at {livekit.url} has another secret for the key 'devkey'"
    )
    with servers.start_redis(tmp_path) as redis_url:
        env = environment(livekit, redis_url) | ports | {"MODEL": "echo"}
        with (
            module("token_service", lambda: True, tmp_path / "token_service.log", env),
            module("worker", lambda: True, tmp_path / "worker.log", env | wrong),
        ):
            wait_until(lambda: reason[1:] in told(f"{url}/ready")["reason"], "/ready says why")
            ready, page = told(f"{url}/ready"), told(f"{url}/api/config")
            worker = told(own_view)

    assert ready == {"ready": False, "code": "connecting", "reason": f"T{reason[1:]}."}
    assert {name: page[name] for name in ready} == ready
    assert (worker["state"], worker["reason"]) == ("connecting", reason)
    log = (tmp_path / "worker.log").read_text()
    assert log.count(reason) == 1
    assert wrong["LIVEKIT_API_SECRET"] not in log


def told(url: str) -> dict[str, str]:
    """What is answered there; no reason as long as nothing is."""
    try:
        return httpx.get(url, timeout=2.0, trust_env=False).json()
    except httpx.HTTPError:
        return {"reason": ""}


async def test_a_worker_that_gives_up_leaves_its_reason(
    redis_url: str, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with the reason, which outlives it for a while; the rooms that it had are free."""

    class Impatient(Registration):
        def __init__(self, settings: Settings, on_lost: Callable[[str], None]) -> None:
            super().__init__(settings, on_lost)
            self.update_options(max_retry=0)

    monkeypatch.setattr("worker.jobs.Registration", Impatient)
    url = f"ws://127.0.0.1:{free_port()}"
    settings = settings_for(
        livekit_url=url, redis_url=redis_url, worker_port=free_port(), model="echo", capacity=1
    )
    worker, before = main.Worker(settings), keeping_alive()
    with pytest.raises(ConnectionError) as caught:
        await worker.run()
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        key = f"moshi:worker:{worker.status.worker_id}"
        left = Heartbeat.model_validate_json(await redis.getdel(key))

    reason = f"the model is loaded, not connected to LiveKit: {url} does not answer: "
    assert str(caught.value).startswith(f"{reason}Connection refused (failed to connect")
    assert (left.state, left.reason, left.hosts) == ("error", str(caught.value), {})
    assert keeping_alive() <= before


def keeping_alive() -> set[threading.Thread]:
    """The threads without whose end a process does not end; a loop ends those of its own."""
    alive = {thread for thread in threading.enumerate() if not thread.daemon}
    return {thread for thread in alive if not thread.name.startswith("asyncio_")}
