"""WebSockets of a worker with two processes of rooms, over a real token service."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from harness.recordings import speech
from harness.rooms import all_free, slots_used
from harness.servers import gone, wait_until
from harness.stack import Stack, room_processes, start_stack
from tests.worker.websocket.caller import WITHIN_S, Caller, calling
from tests.worker.websocket.program import taking_part

GONE = (1012, "The worker is gone. Connect again.")
RECOVERS_WITHIN_S = 60.0  # a busy machine imports for 10
SPEECH = speech(1.0)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Start the product with the echo and two processes of rooms."""
    folder = tmp_path_factory.mktemp("two")
    with start_stack(folder, model="echo", capacity=4, room_processes="2") as stack:
        yield stack


@asynccontextmanager
async def talking(stack: Stack) -> AsyncGenerator[Caller]:
    """Open a conversation that is heard."""
    async with calling(f"{stack.url.replace('http', 'ws', 1)}/api/chat") as caller:
        await caller.until(lambda: caller.is_ready, "the handshake")
        await answered(caller)
        yield caller


async def answered(caller: Caller) -> None:
    """Speak until the echo is heard."""
    begin = len(caller.heard)
    await caller.speak(SPEECH)
    await caller.until(lambda: caller.loudness(begin) > 1e-3, "the echo")


def served(stack: Stack) -> dict[int, int]:
    """Return how many connections to the worker's port each of its processes has."""
    port = urlsplit(stack.worker_url).port
    found: dict[int, int] = {}
    for process in (psutil.Process(stack.worker_pid), *room_processes(stack.worker_pid)):
        with suppress(psutil.NoSuchProcess):
            ours = [
                each
                for each in process.net_connections("tcp")
                if each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED
            ]
            found[process.pid] = len(ours)
    return found


async def chats(stack: Stack) -> int:
    """Return how many conversations the worker counts."""
    return int((await stack.worker_metrics())["moshi_chats"])


async def becomes_free(stack: Stack, slots: int) -> None:
    """Wait until so many slots are used, and as many conversations counted."""
    async with asyncio.timeout(WITHIN_S):
        while (await slots_used(stack), await chats(stack)) != (slots, slots):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)


async def test_a_process_of_rooms_that_dies_costs_its_own_conversations_alone(two: Stack) -> None:
    """Conversations are spread; those of a killed process end, to be opened again, others go on.

    The main process has none of their connections, and counts them all.
    """
    async with talking(two) as ann, talking(two) as bob:
        by_process = served(two)
        assert by_process.pop(two.worker_pid) == 0
        assert list(by_process.values()) == [1, 1]
        assert await chats(two) == 2
        os.kill(next(iter(by_process)), signal.SIGKILL)
        async with asyncio.timeout(WITHIN_S):
            while not (ann.closed or bob.closed):  # noqa: ASYNC110 - the listener sets it
                await asyncio.sleep(0.02)
        lost, kept = (ann, bob) if ann.closed else (bob, ann)
        assert lost.closed == GONE
        await answered(kept)
        await becomes_free(two, 1)
        async with talking(two):
            await becomes_free(two, 2)
    async with asyncio.timeout(RECOVERS_WITHIN_S):
        while len(served(two)) < 3:  # noqa: ASYNC110 - processes send no event
            await asyncio.sleep(0.05)
    await all_free(two)
    await becomes_free(two, 0)


async def test_the_replacement_of_a_process_serves_conversations(two: Stack) -> None:
    """Where every process was killed, new ones take conversations as soon as they have started."""
    before = {each.pid for each in room_processes(two.worker_pid)}
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(RECOVERS_WITHIN_S), httpx.AsyncClient(trust_env=False) as http:
        while before & {each.pid for each in room_processes(two.worker_pid)}:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)
        for url in (two.worker_url, f"{two.url}/api/config"):
            while (await http.get(url)).json()["slots_free"] == 0:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.05)
    async with talking(two):
        by_process = served(two)

    assert by_process.keys().isdisjoint(before)
    assert (by_process.pop(two.worker_pid), sum(by_process.values())) == (0, 1)


async def test_a_worker_that_is_told_to_stop_ends_them_after_its_grace(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Clients are told to connect again, programs of a session as well, and no process is left."""
    folder = tmp_path_factory.mktemp("stops")
    with start_stack(folder, model="echo", capacity=2, room_processes="2") as stack:
        processes = room_processes(stack.worker_pid)
        async with httpx.AsyncClient(trust_env=False) as http:
            opened = await http.post(f"{stack.url}/sessions", json={})
        async with talking(stack) as ann, taking_part(stack.url, opened.json()["id"]) as bob:
            await bob.until(lambda: bool(bob.all_of("state")), "the persona's state")
            os.kill(stack.worker_pid, signal.SIGTERM)
            await ann.until(lambda: ann.closed is not None, "the end")
            await bob.until(lambda: bob.closed is not None, "the program's end")
        await asyncio.to_thread(wait_until, lambda: gone(processes), "all have ended")

    assert ann.closed == (1012, "the worker stops; connect again")
    assert (bob.read[-1]["type"], bob.read[-1]["code"]) == ("error", "worker_gone")
