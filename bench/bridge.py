"""Measure the bridge between rooms and engine: processes of rooms, one engine, no model.

Each host has a thread and an event loop, in one of the processes that host a worker's rooms. A
paced thread there plays the SDK's callback: every 80 ms it puts one real `audio_stream_event` for
each host into the SDK's own event queue. The host takes it on the grid and pushes it to the engine
of the main process, by the product's channel; the engine's step is a sleep of 24 ms that releases
the interpreter lock (what a GPU step of 64 slots costs at least); delivery goes back to the host's
loop. Printed: arrival in the engine's inbox → delivered on the host's loop, how many rows a step
served, and the CPU of the main process and of all processes of rooms.

    python -m bench.bridge --hosts 64 128 --processes 4 --seconds 10
"""

import argparse
import asyncio
import json
import multiprocessing
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from typing import Any

import numpy as np
from livekit.rtc._proto import ffi_pb2

from protocol.personas import Persona
from worker.engine.arrays import Mask, Pcm
from worker.engine.conversation.say import Done
from worker.engine.engine import Engine
from worker.engine.model import Model, Remembered, StepOut
from worker.engine.slots import SlotFrame
from worker.fleet.admission import JobAdmission
from worker.frames import FRAME_S, SILENCE
from worker.grid import next_tick
from worker.livekit_private.native_events import NativeEvents
from worker.room_process.asking import Asking
from worker.room_process.channel import Channel
from worker.room_process.messages import Alive, Answered, FrameOut, FromRooms, ToRooms
from worker.room_process.remote_engine import RemoteEngine
from worker.room_process.served_slots import ServedSlots
from worker.sound.ring import Ring

STEP_S = 0.024
SETTLE_S = 1.0
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
    """One room with a ring and a slot, on its own event loop."""

    def __init__(self, handle: int, engine: RemoteEngine, events: NativeEvents) -> None:
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
        while True:
            await asyncio.sleep(next_tick(self.loop.time()) - self.loop.time())
            frame = self.ring.take()
            self.engine.push(occupant, SILENCE if frame is None else frame)

    def _heard(self, frame: SlotFrame) -> None:
        self.latencies_s.append(time.monotonic() - frame.arrived_s)


def pace(queue: NativeEvents, handles: list[int], until_s: float) -> None:
    """Act as the SDK's callback thread."""
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
    while time.monotonic() < until_s:
        now_s = time.monotonic()
        time.sleep(max(next_tick(now_s + 0.012) - 0.012 - now_s, 0.0))  # 12 ms before the tick
        for payload in payloads:
            event = ffi_pb2.FfiEvent()
            event.MergeFromString(payload)
            queue.put(event)


def host_rooms(connection: "Connection[Any, Any]", results: Any, hosts: int) -> None:
    """Host rooms in this process; wait for the end, then send the latencies and the CPU time."""

    def take(messages: list[ToRooms]) -> None:
        for message in messages:
            if isinstance(message, Answered):
                asking.take(message)
            elif isinstance(message, FrameOut):
                engine.take(message)
        engine.send()

    channel = Channel[FromRooms, ToRooms](connection, take, lambda _: None)
    asking = Asking(channel.post)
    engine = RemoteEngine(Model("sleep", SleepStep(0), (), ()).facts, channel.post, asking)
    channel.start()
    events = NativeEvents()
    threads = [HostThread(handle, engine, events) for handle in range(1, hosts + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.ready.wait()
    results.send("ready")
    seconds = results.recv()
    for thread in threads:
        thread.latencies_s.clear()
    begun_s = time.process_time()
    pace(events, [thread.handle for thread in threads], time.monotonic() + seconds)
    spent_s = time.process_time() - begun_s
    results.send(([each for thread in threads for each in thread.latencies_s], spent_s))
    results.recv()


def measure(hosts: int, processes: int, seconds: float) -> dict[str, float | int]:
    """Measure one row of the table."""
    step = SleepStep(hosts)
    engine = Engine(Model("sleep", step, (), ()), on_failure=lambda error: None)
    shares = [len(range(hosts)[index::processes]) for index in range(processes)]
    ends, rooms = [], []
    for share in shares:
        ours, theirs = Pipe()
        results, their_results = Pipe()
        context: Any = multiprocessing.get_context("spawn")
        rooms.append(context.Process(target=host_rooms, args=(theirs, their_results, share)))
        rooms[-1].start()
        ends.append((ours, results))
    engine.start()
    for ours, _ in ends:
        _serve(engine, ours)
    for _, results in ends:
        assert results.recv() == "ready"
    time.sleep(SETTLE_S)
    step.rows.clear()
    cpu_s, wall_s = time.process_time(), time.monotonic()
    for _, results in ends:
        results.send(seconds)
    told = [results.recv() for _, results in ends]
    wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
    for _, results in ends:
        results.send("end")
    for process in rooms:
        process.join()
    engine.stop()
    took_ms = np.array([each for latencies_s, _ in told for each in latencies_s]) * 1000
    return {
        "hosts": hosts,
        "processes": processes,
        "p50_ms": round(float(np.percentile(took_ms, 50)), 1),
        "p99_ms": round(float(np.percentile(took_ms, 99)), 1),
        "late": int((took_ms > FRAME_S * 1000).sum()),
        "rows_per_step": round(float(np.mean(step.rows)), 1),
        "steps_per_80ms": round(len(step.rows) / (wall_s / FRAME_S), 2),
        "main_cpu_percent": round(100 * cpu_s / wall_s, 1),
        "rooms_cpu_percent": round(100 * sum(spent_s for _, spent_s in told) / wall_s, 1),
    }


def _serve(engine: Engine, connection: "Connection[Any, Any]") -> None:
    """Serve the engine's slots to the process at the other end."""

    def take(messages: list[Any]) -> None:
        for message in messages:
            if not isinstance(message, Alive):
                slots.take(message)

    channel = Channel[ToRooms, FromRooms](connection, take, lambda _: slots.close())
    slots = ServedSlots(engine, JobAdmission(lambda: engine.free), lambda: None, channel.post)
    channel.start()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    rows = []
    for hosts in arguments.hosts:
        row = measure(hosts, arguments.processes, arguments.seconds)
        if not rows:
            print("  ".join(f"{name:>17}" for name in row))
        print("  ".join(f"{value:>17}" for value in row.values()), flush=True)
        rows.append(row)
    print(json.dumps({"bench": "bridge", "rows": rows}))


if __name__ == "__main__":
    main()
