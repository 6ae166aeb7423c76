"""A worker with two processes of rooms, over a real LiveKit, redis and token service."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis

from harness.census import connections
from harness.person import WITHIN_S, Person, eventually, person
from harness.rooms import all_free, asking_for, in_talk, slots_used
from harness.servers import GivenSettings, LiveKit, free_port, gone, http_answers, wait_until
from harness.stack import Stack, environment, module, room_processes, start_stack
from token_service.fleet.reader import FleetReader
from worker.room_process.room_processes import MOST, PERSONAS_EACH, usual_count

TONE_HZ = 500.0
PAUSE_S = 0.5  # of a voice that goes on
ENDS_WITHIN_S = 1.0
RECOVERS_WITHIN_S = 60.0  # a busy machine imports for 25


@pytest.fixture
def two(tmp_path: Path) -> Generator[Stack]:
    """Start the product with the echo and two processes of rooms, both as they are at its start."""
    with start_stack(tmp_path, model="echo", capacity=8, room_processes="2") as stack:
        yield stack


Running = Callable[[LiveKit], AbstractContextManager[int]]


@pytest.fixture
def running(redis_url: str, tmp_path: Path) -> Running:
    """Return how to run a worker alone, with two processes of rooms."""

    @contextmanager
    def run(livekit: LiveKit) -> Generator[int]:
        about = {"MODEL": "echo", "ROOM_PROCESSES": "2", "WORKER_PORT": str(free_port())}
        env = environment(livekit, redis_url) | about
        with module("worker", lambda: True, tmp_path / "worker.log", env) as pid:
            url = f"http://127.0.0.1:{about['WORKER_PORT']}/"
            wait_until(lambda: http_answers(url), "it is ready")
            yield pid

    return run


def hosting(stack: Stack) -> dict[int, int]:
    """Return how many connections to LiveKit each process of rooms has: one for each persona."""
    found: dict[int, int] = {}
    for process in room_processes(stack.worker_pid):
        with suppress(psutil.NoSuchProcess):
            found[process.pid] = connections(process, stack.livekit.port)
    return found


@contextmanager
def recovery(measured: list[str], what: str) -> Generator[None]:
    """Measure how long a block takes."""
    began_s = time.monotonic()
    yield
    measured.append(f"recovery: {time.monotonic() - began_s:5.1f} s  {what}")


async def hears(someone: Person, without: str = "") -> str:
    """Wait until someone hears the tone from a persona; return who it is."""

    def heard() -> list[str]:
        there = [each.identity for each in someone.personas if each.identity != without]
        return [each for each in there if abs(someone.loudest_hz(each) - TONE_HZ) < 5.0]

    await eventually(lambda: bool(heard()), "the persona is heard", RECOVERS_WITHIN_S)
    return heard()[0]


async def arrives(stack: Stack, room: str) -> None:
    """Wait until the token service has seen a room's host: one that it has not may still come."""
    connection = Redis.from_url(stack.redis_url, decode_responses=True)
    async with asyncio.timeout(WITHIN_S), connection as redis:
        reader = FleetReader(redis)
        while not (await reader.fleet()).schedule.room(room).arrived:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)


@pytest.mark.alone  # else the silence is that of full cores: up to 1.4 s beside six busy loops
@pytest.mark.timeout(300)
async def test_a_process_of_rooms_that_dies_costs_its_rooms_a_moment_and_others_nothing(
    two: Stack, measured: list[str]
) -> None:
    """A killed process's room gets another host; a room beside it misses no frame.

    Rooms are spread over the processes, and one that has replaced another hosts rooms as well.
    """
    async with person(two.url, asking_for("teacher")) as bob:
        await in_talk(bob)
        [of_bob] = [pid for pid, count in hosting(two).items() if count]
        async with person(two.url, asking_for("chef")) as ann:
            ann.tone_hz = bob.tone_hz = TONE_HZ
            chef, teacher = await hears(ann), await hears(bob)
            assert sorted(hosting(two).values()) == [1, 1]
            [of_ann] = hosting(two).keys() - {of_bob}
            await arrives(two, ann.room.name)
            since = bob.timeline.now
            with recovery(measured, "process of rooms killed, another lives"):
                os.kill(of_ann, signal.SIGKILL)
                await hears(ann, without=chef)
            silence_s = bob.timeline.longest_silence_s([teacher], since)
            measured.append(f"silence:    {silence_s:5.2f} s  in a room beside it")
            await eventually(lambda: len(hosting(two)) == 2, "it is replaced")

            assert await slots_used(two) == 2
            assert [each.identity for each in bob.personas] == [teacher]
            assert silence_s < PAUSE_S
        with recovery(measured, "process of rooms killed, its successor starts"):
            os.kill(of_bob, signal.SIGKILL)
            await hears(bob, without=teacher)
    await all_free(two)


def test_the_main_process_has_no_native_threads_of_livekit(
    livekit: LiveKit, running: Running
) -> None:
    """LiveKit's native library is loaded in processes of rooms alone."""

    def loads(pid: int) -> bool:
        return "liblivekit_ffi" in Path(f"/proc/{pid}/maps").read_text()

    with running(livekit) as pid:
        found = loads(pid), [loads(each.pid) for each in room_processes(pid)]

    assert found == (False, [True, True])


@pytest.mark.parametrize(
    ("cores", "settings", "count"),
    [
        (1, {}, 1),
        (2, {}, 1),
        (3, {}, 1),
        (4, {}, 2),
        (15, {}, 7),
        (64, {}, MOST),
        (64, {"capacity": 1}, 1),
        (64, {"capacity": PERSONAS_EACH}, 1),
        (64, {"capacity": PERSONAS_EACH + 1}, 2),
        (64, {"capacity": 512}, MOST),
        (4, {"capacity": 512}, 2),
        (1, {"room_processes": 3}, 3),
        (64, {"capacity": 1, "room_processes": 64}, 64),
    ],
)
def test_the_usual_number_of_processes_suits_the_machine(
    cores: int, settings: dict[str, int], count: int
) -> None:
    """There is a process for two cores and for eight slots, and as many as are asked for."""
    assert usual_count(GivenSettings(**settings), cores) == count


def test_the_processes_of_a_worker_that_is_killed_end(livekit: LiveKit, running: Running) -> None:
    """Where the main process is killed, those of rooms are gone within a second."""
    with running(livekit) as pid:
        processes = room_processes(pid)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: gone(processes), "all have ended", ENDS_WITHIN_S)

    assert len(processes) == 2


async def test_a_signal_to_the_whole_group_drains(tmp_path: Path) -> None:
    """Ctrl-C reaches every process of a worker; its rooms go on until the worker has drained."""
    settings = {"room_processes": "2", "drain_grace_s": "2"}
    with start_stack(tmp_path, model="echo", capacity=2, **settings) as stack:
        processes = room_processes(stack.worker_pid)
        async with person(stack.url, asking_for("chef")) as ann:
            await in_talk(ann)
            ann.tone_hz = TONE_HZ
            who = await hears(ann)
            for number in (signal.SIGINT, signal.SIGTERM):
                os.killpg(stack.worker_pid, number)
            ended = asyncio.to_thread(wait_until, lambda: gone(processes), "all have ended")
            since = ann.timeline.now
            await ended
            spoke_s = ann.timeline.spoke_s(who, since)
        log = stack.folder / "worker.log"
        reasons = [
            each.get("reason")
            for each in map(json.loads, log.read_text().splitlines())
            if each["event"] == "host_leaves"
        ]

    assert reasons == ["the worker stops"]
    assert spoke_s > 1.0
