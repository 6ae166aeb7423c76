"""Measure what a room costs the worker beside the model: its threads' CPU, for each tick of 80 ms.

Starts the product with the echo, without recognition. In each room one person publishes sound and
silence in turn and hears nothing, so that people cost this machine little; the echo repeats them.
Threads of Python share the interpreter lock of their process, so their sum stays below one core,
however many cores there are: it bounds how many rooms a process holds, and the main process, which
has the engine, all of them. Native threads (LiveKit, Opus) share nothing.

    python -m bench.rooms --rooms 4 8 12 --seconds 20
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Self

import httpx
import numpy as np
import psutil
from livekit import rtc

from harness.stack import Stack, room_processes, start_stack
from worker.livekit_private.native_log import disable_native_log_capture

TICK_S = 0.080
RATE_HZ = 48_000
CHUNK = RATE_HZ // 10  # 100 ms: few wakes
TURN_CHUNKS = 20  # of sound, then as many of near silence
QUIET = 1 / 64
SETTLE_S = 8.0
LATE = "moshi_late_frames_total"


@asynccontextmanager
async def talking(stack: Stack, room: str) -> AsyncGenerator[None]:
    """Have a person publish sound in a room of its own, and hear nothing."""
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = (await http.post(f"{stack.url}/token", json={"room_name": room})).json()
    connection = rtc.Room()
    options = rtc.RoomOptions(auto_subscribe=False)
    await connection.connect(answer["server_url"], answer["participant_token"], options)
    source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=400)
    track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
    as_microphone = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    await connection.local_participant.publish_track(track, as_microphone)
    speaking = asyncio.create_task(_speak(source))
    try:
        yield
    finally:
        speaking.cancel()
        await connection.disconnect()
        await source.aclose()


async def _speak(source: rtc.AudioSource) -> None:
    noise = np.random.default_rng(0).normal(0.0, 3000.0, CHUNK)
    loud, quiet = (noise.astype(np.int16).tobytes(), (noise * QUIET).astype(np.int16).tobytes())
    while True:
        for sound in (loud, quiet):
            for _ in range(TURN_CHUNKS):
                await source.capture_frame(rtc.AudioFrame(sound, RATE_HZ, 1, CHUNK))


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU time of a worker's threads, in seconds or, of a difference, in ms for each tick."""

    main: float  # Python threads of the main process: the engine, heartbeats
    rooms: float  # Python threads of the processes of rooms
    native: float  # LiveKit's and Opus' threads of both

    @classmethod
    def so_far(cls, worker_pid: int) -> Self:
        """Return what a worker's processes have spent."""
        main, native = _of(psutil.Process(worker_pid))
        rooms = [_of(each) for each in room_processes(worker_pid)]
        return cls(main, sum(each[0] for each in rooms), native + sum(each[1] for each in rooms))

    def since(self, before: Self, ticks: float) -> Self:
        """Return the ms for each of so many ticks."""
        pairs = zip(astuple(self), astuple(before), strict=True)
        return type(self)(*(1000 * (now - then) / ticks for now, then in pairs))


def _of(process: psutil.Process) -> tuple[float, float]:
    """Return the CPU time of a process's Python threads and of its native ones, so far."""
    python = native = 0.0
    for thread in process.threads():
        name = Path(f"/proc/{process.pid}/task/{thread.id}/comm").read_text()
        spent_s = thread.user_time + thread.system_time
        if name.startswith(("python", "pytest")):
            python += spent_s
        else:
            native += spent_s
    return python, native


async def measure(stack: Stack, rooms: int, seconds: float) -> dict[str, float]:
    """Return the row of so many rooms."""
    async with AsyncExitStack() as people:
        for index in range(rooms):
            await people.enter_async_context(talking(stack, f"rooms-{rooms}-{index}"))
        await stack.slots_used_become(rooms)
        await asyncio.sleep(SETTLE_S)
        late, before = (await stack.worker_metrics())[LATE], Spent.so_far(stack.worker_pid)
        begun_s = time.monotonic()
        await asyncio.sleep(seconds)
        ticks = (time.monotonic() - begun_s) / TICK_S
        spent = Spent.so_far(stack.worker_pid).since(before, ticks)
        late_after = (await stack.worker_metrics())[LATE]
    await stack.close_rooms()
    await stack.slots_used_become(0)
    return {
        "rooms": rooms,
        "main, ms a tick": round(spent.main, 2),
        "rooms, ms a tick": round(spent.rooms, 2),
        "native, ms a tick": round(spent.native, 2),
        "late frames": late_after - late,
    }


async def run(stack: Stack, counts: list[int], seconds: float) -> None:
    """Measure and print a row for each number of rooms, and one without."""
    rows: list[dict[str, float]] = []
    for rooms in (0, *counts):
        row = await measure(stack, rooms, seconds)
        for process in ("main", "rooms") if rooms else ():
            cost = row[f"{process}, ms a tick"] - rows[0][f"{process}, ms a tick"]
            row[f"{process}, ms a room and tick"] = round(cost / rooms, 3)
        rows.append(row)
        print("  ".join(f"{name} {value:g}" for name, value in row.items()), flush=True)
    print(json.dumps({"bench": "rooms", "seconds": seconds, "rows": rows}))


@contextmanager
def echo_stack(slots: int, processes: int) -> Generator[Stack]:
    """Start the product with the echo, without recognition; so many processes host its rooms."""
    with (
        tempfile.TemporaryDirectory() as folder,
        start_stack(
            Path(folder), model="echo", capacity=slots, stt="off", room_processes=str(processes)
        ) as stack,
    ):
        yield stack


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rooms", type=int, nargs="+", default=[4, 8, 12])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--processes", type=int, default=1, help="that host the rooms")
    asked = parser.parse_args()
    disable_native_log_capture()
    with echo_stack(max(asked.rooms), asked.processes) as stack:
        asyncio.run(run(stack, asked.rooms, asked.seconds))


if __name__ == "__main__":
    main()
