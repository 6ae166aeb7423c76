"""Measure the bridge between rooms and engine: hosts with job threads, one engine thread, no model.

Each host has a thread and an event loop, as a livekit-agents job has (`JobExecutorType.THREAD`).
A paced thread plays the SDK's callback: every 80 ms it puts one real `audio_stream_event` for each
host into the SDK's own event queue. The host's ear takes it, sums it into its slot's inbox on the
grid; the engine's step is a sleep of 24 ms that releases the interpreter lock (what a GPU step of
64 slots costs at least); delivery goes back to the host's loop. Printed: arrival in the engine's
inbox → delivered on the host's loop, how many rows a step served, and what the queue costs.

    python -m bench.bridge --hosts 16 32 64 --seconds 10
"""

import argparse
import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from livekit.rtc._proto import ffi_pb2

from protocol.personas import Persona
from worker.engine.arrays import Mask, Pcm
from worker.engine.conversation.say import Done
from worker.engine.engine import Engine
from worker.engine.model import Model, Remembered, StepOut
from worker.engine.slots import SlotFrame
from worker.frames import FRAME_S
from worker.grid import next_tick
from worker.livekit_private.native_events import NativeEvents
from worker.sound.ring import Ring

STEP_S = 0.024
PERSONA = Persona(name="bench", label="Bench")


class SleepStep:
    """A step that takes as long as on a GPU and returns silence."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.rows: list[int] = []
        self._silence = np.zeros((capacity, 1920), dtype=np.float32)
        self._pad = np.full(capacity, 3, dtype=np.int64)

    def join(self, slot: int, persona: Persona, remembered: Remembered | None = None) -> None:
        pass

    def catch_up(self, slot: int, more: Remembered | None, done: Callable[[], None]) -> None:
        """Report at once that nothing is to be read."""
        done()

    def leave(self, slot: int) -> None:
        pass

    def move(self, source: int, target: int) -> None:
        pass

    def hush(self, slot: int, on: bool) -> None:
        pass

    def say(self, slot: int, text: str, done: Done) -> None:
        pass

    def drop_lines(self, slot: int, *, unless_begun: bool = False) -> None:
        pass

    def forget(self, slot: int) -> None:
        pass

    def work(self, gap_s: float) -> bool:
        return False

    def run(self, pcm: Pcm, exec_mask: Mask) -> StepOut:
        self.rows.append(int(exec_mask.sum()))
        time.sleep(STEP_S)
        return StepOut(self._silence, self._pad, self._pad, exec_mask.copy())


class HostThread(threading.Thread):
    """One room with an ear, a ring and a slot, on its own event loop."""

    def __init__(self, handle: int, engine: Engine, events: NativeEvents) -> None:
        super().__init__(name=f"host-{handle}", daemon=True)
        self.handle, self.engine, self.events = handle, engine, events
        self.latencies_s: list[float] = []
        self.ready = threading.Event()

    def run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self.loop, self.ended = asyncio.get_running_loop(), asyncio.Event()
        self.ring, frame = Ring(), np.zeros(1920, dtype=np.float32)
        occupant = self.engine.join(PERSONA, self._heard, loop=self.loop)
        self.events.add_listener("audio_stream_event", self.handle, lambda _: self.ring.put(frame))
        tick = asyncio.create_task(self._tick(occupant))
        self.ready.set()
        await self.ended.wait()
        tick.cancel()

    async def _tick(self, occupant: Any) -> None:
        silence = np.zeros(1920, dtype=np.float32)
        while True:
            await asyncio.sleep(next_tick(self.loop.time()) - self.loop.time())
            frame = self.ring.take()
            self.engine.push(occupant, silence if frame is None else frame)

    def _heard(self, frame: SlotFrame) -> None:
        self.latencies_s.append(time.monotonic() - frame.arrived_s)


def pace(queue: NativeEvents, handles: list[int], until_s: float) -> float:
    """Act as the SDK's callback thread; return the CPU seconds of this thread."""
    payloads: list[bytes] = []
    for handle in handles:
        event = ffi_pb2.FfiEvent()
        event.audio_stream_event.stream_handle = handle
        event.audio_stream_event.frame_received.frame.info.samples_per_channel = 1920
        event.audio_stream_event.frame_received.frame.handle.id = 0
        event.audio_stream_event.frame_received.frame.info.data_ptr = 0
        event.audio_stream_event.frame_received.frame.info.num_channels = 1
        event.audio_stream_event.frame_received.frame.info.sample_rate = 24_000
        payloads.append(event.SerializePartialToString())
    begun_s = time.thread_time()
    while time.monotonic() < until_s:
        now_s = time.monotonic()
        time.sleep(max(next_tick(now_s + 0.012) - 0.012 - now_s, 0.0))  # 12 ms before the tick
        for payload in payloads:
            event = ffi_pb2.FfiEvent()
            event.MergeFromString(payload)
            queue.put(event)
    return time.thread_time() - begun_s


def measure(hosts: int, seconds: float) -> dict[str, float | int]:
    """Measure one row of the table."""
    step = SleepStep(hosts)
    engine = Engine(Model("sleep", step, (), ()), on_failure=lambda error: None)
    events = NativeEvents()
    engine.start()
    threads = [HostThread(handle, engine, events) for handle in range(1, hosts + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.ready.wait()
    step.rows.clear()
    cpu_s, wall_s = time.process_time(), time.monotonic()
    callback_s = pace(events, [thread.handle for thread in threads], wall_s + seconds)
    wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
    for thread in threads:
        thread.loop.call_soon_threadsafe(thread.ended.set)
    for thread in threads:
        thread.join()
    engine.stop()
    took_ms = np.array([t for thread in threads for t in thread.latencies_s]) * 1000
    return {
        "hosts": hosts,
        "p50_ms": round(float(np.percentile(took_ms, 50)), 1),
        "p99_ms": round(float(np.percentile(took_ms, 99)), 1),
        "late": int((took_ms > FRAME_S * 1000).sum()),
        "rows_per_step": round(float(np.mean(step.rows)), 1),
        "steps_per_80ms": round(len(step.rows) / (wall_s / FRAME_S), 2),
        "queue_cpu_percent": round(100 * callback_s / wall_s, 1),
        "cpu_percent": round(100 * cpu_s / wall_s, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    rows = []
    for hosts in arguments.hosts:
        row = measure(hosts, arguments.seconds)
        if not rows:
            print("  ".join(f"{name:>17}" for name in row))
        print("  ".join(f"{value:>17}" for value in row.values()), flush=True)
        rows.append(row)
    print(json.dumps({"bench": "bridge", "rows": rows}))


if __name__ == "__main__":
    main()
