"""Measure what a WebSocket costs a worker beside the model: its threads' CPU, for each 80 ms.

Starts the product with the echo, without recognition, and opens WebSockets of one kind: `chat` is
`/api/chat`, `pcm` and `opus` are programs at `/sessions/{id}/audio`, each in a session of its own.
Clients send a message every 80 ms, or as `--packet-ms` says. The threads that encode and decode
Opus are among the Python threads; they release the interpreter lock meanwhile.

    python -m bench.sockets --kinds chat pcm opus --clients 8 --seconds 15
"""

import argparse
import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
import psutil
import sphn

from bench.rooms import LATE, SETTLE_S, TICK_S, Spent, echo_stack
from harness.stack import Stack
from worker.frames import RATE_HZ, to_int16
from worker.websocket import messages

TURN_S = 2.0  # of sound, then as much of near silence
QUIET = 1 / 64
TIMES = ("main loop", "main", "rooms", "native")


def spoken(kind: str, packet_ms: int) -> list[bytes]:
    """Return the messages of a minute of sound and near silence in turn."""
    noise = np.random.default_rng(0).normal(0.0, 0.1, round(TURN_S * RATE_HZ)).astype(np.float32)
    turns = np.tile(np.concatenate([noise, noise * QUIET]), round(30 / TURN_S))
    packet = RATE_HZ * packet_ms // 1000
    packets = turns[: len(turns) // packet * packet].reshape(-1, packet)
    if kind == "pcm":
        return [to_int16(each).tobytes() for each in packets]
    writer = sphn.OpusStreamWriter(RATE_HZ)
    mark = messages.AUDIO if kind == "chat" else b""
    return [mark + bytes(writer.append_pcm(each)) for each in packets]


@asynccontextmanager
async def talking(stack: Stack, kind: str, packet_ms: int) -> AsyncGenerator[None]:
    """Open a WebSocket, speak, and read what comes without a look at it."""
    said = spoken(kind, packet_ms)
    async with aiohttp.ClientSession(stack.url) as http:
        path, session = "/api/chat", ""
        if kind != "chat":
            async with http.post("/sessions", json={}) as opened:
                session = (await opened.json())["id"]
            path = f"/sessions/{session}/audio?format={kind}"
        async with http.ws_connect(path) as socket:
            tasks = [
                asyncio.create_task(_speak(socket, said, packet_ms / 1000)),
                asyncio.create_task(_read(socket)),
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
        if session:
            await http.delete(f"/sessions/{session}")


async def _speak(
    socket: aiohttp.ClientWebSocketResponse, said: list[bytes], every_s: float
) -> None:
    due_s = time.monotonic()
    for message in said * 100:
        await socket.send_bytes(message)
        due_s += every_s
        await asyncio.sleep(max(due_s - time.monotonic(), 0.0))


async def _read(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


def main_loop_s(stack: Stack) -> float:
    """Return the CPU time of the main process's first thread, which runs its loop."""
    threads = psutil.Process(stack.worker_pid).threads()
    [first] = [each for each in threads if each.id == stack.worker_pid]
    return first.user_time + first.system_time


async def measure(
    stack: Stack, kind: str, clients: int, packet_ms: int, seconds: float
) -> dict[str, Any]:
    """Return the row of so many clients of a kind."""
    async with AsyncExitStack() as opened:
        for _ in range(clients):
            await opened.enter_async_context(talking(stack, kind, packet_ms))
        await stack.slots_used_become(clients)
        await asyncio.sleep(SETTLE_S)
        late, before = (await stack.worker_metrics())[LATE], Spent.so_far(stack.worker_pid)
        begun_s, loop_s = time.monotonic(), main_loop_s(stack)
        await asyncio.sleep(seconds)
        ticks = (time.monotonic() - begun_s) / TICK_S
        spent = Spent.so_far(stack.worker_pid).since(before, ticks)
        loop_ms = 1000 * (main_loop_s(stack) - loop_s) / ticks
        late_after = (await stack.worker_metrics())[LATE]
    await stack.slots_used_become(0)
    return {
        "kind": kind,
        "clients": clients,
        "main loop": loop_ms,
        "main": spent.main,
        "rooms": spent.rooms,
        "native": spent.native,
        "late frames": late_after - late,
    }


async def run(
    stack: Stack, kinds: list[str], counts: list[int], packet_ms: int, seconds: float
) -> None:
    """Measure and print a row for each kind and number of clients: ms of a client and tick."""
    idle = await measure(stack, "chat", 0, packet_ms, seconds)
    rows: list[dict[str, Any]] = []
    for kind in kinds:
        for clients in counts:
            row = await measure(stack, kind, clients, packet_ms, seconds)
            costs = {name: round((row[name] - idle[name]) / clients, 3) for name in TIMES}
            rows.append({**row, **costs})
            print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    print(json.dumps({"bench": "sockets", "packet_ms": packet_ms, "rows": rows}))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=["chat", "pcm", "opus"])
    parser.add_argument("--clients", type=int, nargs="+", default=[8])
    parser.add_argument("--packet-ms", type=int, default=80)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--processes", type=int, default=1, help="that host the rooms")
    asked = parser.parse_args()
    with echo_stack(max(asked.clients), asked.processes) as stack:
        asyncio.run(run(stack, asked.kinds, asked.clients, asked.packet_ms, asked.seconds))


if __name__ == "__main__":
    main()
