"""A process of rooms that ended is replaced by one that can do the same."""

import asyncio
import errno
import gc
import os
import signal
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import structlog

from harness.fork_server import finished
from harness.proxy import forward_proxy, saying
from harness.servers import GivenSettings, free_port
from protocol.errors import InvalidInput
from worker.context import WorkerContext
from worker.engine.echo import echo_model
from worker.engine.engine import Engine
from worker.fleet.admission import JobAdmission
from worker.fleet.hosts import Hosts
from worker.room_process import channel, room_process, room_processes
from worker.room_process.channel import Channel
from worker.room_process.room_process import RoomProcess
from worker.room_process.room_processes import RoomProcesses

WITHIN_S = 60.0
PERSONA = """
label = "Robin"
line = "Knows the hours"
prompt = "You answer the phone."
[mind]
kind = "chat"
prompt = "The shop is at 12 Mill Lane."
[[mind.tools]]
mcp = "http://tools.invalid:9/mcp"
"""


async def becomes(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    try:
        async with asyncio.timeout(WITHIN_S):
            while not holds():  # noqa: ASYNC110 - processes send no event
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


@asynccontextmanager
async def serving(
    rooms: RoomProcesses, on_lost: Callable[[], None] = lambda: None
) -> AsyncGenerator[None]:
    """Let processes of rooms serve an engine."""
    engine = Engine(echo_model(2), lambda _: None)
    engine.start()
    admission = JobAdmission(lambda: engine.free)
    try:
        await rooms.started()
        rooms.begin(WorkerContext(engine, None, admission, Hosts(), lambda: None, on_lost))
        yield
        await rooms.stop()
    finally:
        rooms.close()
        engine.stop()


def processes() -> list[psutil.Process]:
    """Return the processes of rooms of this one."""
    children = psutil.Process().children()
    return [each for each in children if "spawn_main" in " ".join(each.cmdline())]


async def test_a_replacement_has_the_proxies_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replacement has the environment that the main process began with, and so its proxies."""
    (tmp_path / "robin.toml").write_text(PERSONA)
    mind_url = "http://127.0.0.1:9/v1"
    settings = GivenSettings(
        personas_dir=tmp_path, mind_url=mind_url, mind_model="none", room_processes=1
    )
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with forward_proxy(saying("404 Not Found")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        rooms = RoomProcesses(settings, "spawn")
        async with serving(rooms):
            await becomes(lambda: bool(proxy.targets), "tools are looked for")
            monkeypatch.delenv("HTTP_PROXY")  # the main process changes its environment later
            assert rooms.serve_now
            [first] = processes()
            before = len(proxy.targets)
            first.send_signal(signal.SIGKILL)
            await becomes(lambda: not rooms.serve_now, "no process takes jobs")
            assert "rooms send" not in [each.name for each in threading.enumerate()]
            await becomes(lambda: rooms.serve_now, "the replacement takes jobs")
            await becomes(lambda: len(proxy.targets) > before, "it looks for tools, too")

    assert set(proxy.targets) == {"tools.invalid:9"}


async def test_a_replacement_that_cannot_start_says_why(tmp_path: Path) -> None:
    """A persona file that was broken meanwhile is named in the log, and no job is taken."""
    settings = GivenSettings(personas_dir=tmp_path, room_processes=1)
    rooms = RoomProcesses(settings, "spawn")
    with structlog.testing.capture_logs() as lines:
        async with serving(rooms):
            (tmp_path / "robin.toml").write_text(PERSONA)  # and no `MIND_URL`
            [first] = processes()
            first.send_signal(signal.SIGKILL)

            def reasons() -> list[str]:
                return [each["reason"] for each in lines if each["event"] == "rooms_not_replaced"]

            await becomes(lambda: bool(reasons()), "the reason is told")
            assert not rooms.serve_now
    assert "MIND_URL and MIND_MODEL: expected both" in reasons()[0]


def failing_starts(monkeypatch: pytest.MonkeyPatch, works: int) -> None:
    """Let the machine allow so many further processes of rooms, and then none."""
    left = iter(range(works))

    class Failing(RoomProcess):
        def __init__(self, *about: Any) -> None:
            if next(left, None) is None:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            super().__init__(*about)

    monkeypatch.setattr(room_processes, "RoomProcess", Failing)


async def test_a_replacement_that_the_machine_does_not_allow_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where no process can be made for a while, the log says so and one is made later."""
    rooms = RoomProcesses(GivenSettings(room_processes=1), "spawn")
    with structlog.testing.capture_logs() as lines:
        async with serving(rooms):
            failing_starts(monkeypatch, 0)
            [first] = processes()
            first.send_signal(signal.SIGKILL)

            def is_told() -> bool:
                return any(each["event"] == "rooms_not_replaced" for each in lines)

            await becomes(is_told, "the reason is told")
            assert not rooms.serve_now
            monkeypatch.undo()
            await becomes(lambda: rooms.serve_now, "the replacement takes jobs")


async def told_until_replaced(
    monkeypatch: pytest.MonkeyPatch, target: object, name: str, value: object
) -> set[str]:
    """Kill a process that cannot be replaced while `target.name` is `value`.

    Return the reasons that are told, once the name is as before and a replacement takes jobs.
    """
    rooms = RoomProcesses(GivenSettings(room_processes=1), "spawn")
    with structlog.testing.capture_logs() as lines:
        async with serving(rooms):
            monkeypatch.setattr(target, name, value)
            processes()[0].send_signal(signal.SIGKILL)

            def reasons() -> set[str]:
                return {each["reason"] for each in lines if each["event"] == "rooms_not_replaced"}

            await becomes(lambda: bool(reasons()), "the reason is told")
            monkeypatch.undo()
            await becomes(lambda: rooms.serve_now, "the replacement takes jobs")
    return reasons()


async def test_a_replacement_for_which_there_is_no_thread_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where no thread can be made for a replacement, the log says so and one is made later."""

    def none(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    told = await told_until_replaced(monkeypatch, Channel, "start", none)

    assert told == {"a process of rooms cannot be started: can't start new thread"}


async def test_a_process_that_has_hung_does_not_hold_up_a_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A frozen process that is told to stop is ended after the patience, as one in a call."""
    monkeypatch.setattr(channel, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(room_process, "STOP_WITHIN_S", WITHIN_S)
    monkeypatch.setattr(Channel.__init__, "__defaults__", (2.0,))
    rooms = RoomProcesses(GivenSettings(room_processes=1), "spawn")
    async with serving(rooms):
        [frozen] = processes()
        frozen.suspend()
        began_s = time.monotonic()
        await rooms.stop()
        took_s = time.monotonic() - began_s

    assert took_s < WITHIN_S / 2


async def test_a_replacement_that_does_not_start_is_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that gives no sign of life at all is ended, the log says so, and another is started."""
    told = await told_until_replaced(monkeypatch, room_process, "START_WITHIN_S", 0.01)

    assert told == {"a process of rooms did not start within 0.01 s"}


async def test_a_process_that_ended_leaves_no_descriptor() -> None:
    """What a replaced process used is given back at once, and its end is told to the worker."""
    rooms, told = RoomProcesses(GivenSettings(room_processes=1), "spawn"), list[str]()
    gc.disable()
    try:
        async with serving(rooms, lambda: told.append("lost")):
            before = psutil.Process().num_fds()
            processes()[0].send_signal(signal.SIGKILL)
            await becomes(lambda: not rooms.serve_now, "no process takes jobs")
            await becomes(lambda: rooms.serve_now, "the replacement takes jobs")
            after = psutil.Process().num_fds()
    finally:
        gc.enable()

    assert (after, told) == (before, ["lost"])


def test_processes_are_ended_where_one_of_them_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A start that fails leaves no process, for which the worker would wait when it exits."""
    failing_starts(monkeypatch, 2)
    with pytest.raises(InvalidInput, match="cannot be started: Resource temporarily unavailable"):
        RoomProcesses(GivenSettings(room_processes=3), "spawn")

    assert processes() == []


def test_the_last_line_of_a_worker_that_cannot_start_is_the_reason(tmp_path: Path) -> None:
    """What a process of rooms refuses ends the worker with the reason, and nothing follows it."""
    (tmp_path / "robin.toml").write_text(PERSONA)
    given = {"MODEL": "echo", "PERSONAS_DIR": str(tmp_path), "HOME": str(tmp_path)}
    addresses = {"WORKER_PORT": str(free_port()), "REDIS_URL": f"redis://127.0.0.1:{free_port()}"}
    ended = finished("worker", env=os.environ | given | addresses)

    assert ended.returncode == os.EX_CONFIG
    assert ended.stderr.splitlines()[-1].startswith("worker: MIND_URL and MIND_MODEL: expected")
