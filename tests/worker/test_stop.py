"""A worker that is told to stop before it serves: it ends at once, and leaves nothing behind."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import httpx
import psutil
from redis.asyncio import Redis

from harness import servers
from harness.servers import LiveKit, free_port, gone, wait_until
from harness.stack import environment
from protocol.heartbeat import WORKERS_KEY, heartbeat_key
from tests.conftest import SettingsFor
from worker.room_process.room_processes import RoomProcesses
from worker.worker import Worker

WITHIN_S = 30.0  # of a busy machine; what it would wait for never comes


def state_of(url: str) -> str:
    """Return a worker's state; empty while it does not answer."""
    try:
        return httpx.get(url, timeout=2.0, trust_env=False).json()["state"]
    except httpx.HTTPError:
        return ""


async def test_a_signal_ends_a_worker_whose_model_loads(
    livekit: LiveKit, redis_url: str, tmp_path: Path
) -> None:
    """SIGTERM ends a worker with status 0 although its model's file never comes to an end."""
    os.mkfifo(tmp_path / "config.json")  # whose reader waits for a writer
    port = free_port()
    env = environment(livekit, redis_url) | {"MODEL": str(tmp_path), "WORKER_PORT": str(port)}
    log, url = tmp_path / "worker.log", f"http://127.0.0.1:{port}/"

    def loads() -> bool:
        return state_of(url) == "loading_model"

    with servers.running([sys.executable, "-m", "worker"], loads, log, env) as process:
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        status = await asyncio.to_thread(process.wait, WITHIN_S)
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        known = await redis.zrange(WORKERS_KEY, 0, -1)
        beats = [await redis.get(heartbeat_key(each)) for each in known]

    assert status == 0
    assert children and gone(children)
    assert known and not any(beats)
    assert "Traceback" not in log.read_text()


async def test_a_signal_ends_a_worker_whose_processes_of_rooms_start(
    redis_url: str, settings_for: SettingsFor
) -> None:
    """SIGTERM ends a worker although a process of rooms never starts."""
    settings = settings_for(
        redis_url=redis_url, worker_port=free_port(), model="echo", room_processes=1
    )
    rooms = RoomProcesses(settings, "spawn")  # this process has threads
    try:
        [child] = [each for each in psutil.Process().children() if is_of_rooms(each)]
        child.suspend()
        running = asyncio.create_task(Worker(settings, rooms).run())
        url = f"http://127.0.0.1:{settings.worker_port}/"
        await asyncio.to_thread(wait_until, lambda: state_of(url) == "starting", "it starts")
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, WITHIN_S)
    finally:
        rooms.close()

    assert gone([child])


def is_of_rooms(process: psutil.Process) -> bool:
    """Return whether a child is a process of rooms and no resource tracker."""
    return "spawn_main" in " ".join(process.cmdline())
