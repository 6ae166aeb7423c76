"""Measure the delay from a person's microphone through the whole product to the person's ear.

Needs a running stack whose model is `echo` (`make run MODEL=echo`). A person in each room publishes
a quiet 300 Hz hum with a 1 kHz burst each second, 10 ms at a time, and listens to what comes back.
A burst's delay is the time from the capture of its first sample to the arrival of the 10 ms frame
that holds it. A gap is a piece of the returned hum of 5 ms or more that is not there.

    python -m bench.echo --rooms 1 8 --seconds 60
"""

import argparse
import asyncio
import json
from dataclasses import dataclass, field

import httpx
import numpy as np
import numpy.typing as npt
from livekit import rtc

from protocol.config.settings import load_settings
from worker.livekit_private.native_log import disable_native_log_capture

RATE_HZ = 48_000
CHUNK = RATE_HZ // 100  # 10 ms
HUM = 0.08
BURST = 0.6
BURST_CHUNKS = 5
ONSET = 0.3
SILENT = 0.008


@dataclass
class Ear:
    """The results of one person."""

    joined_ms: float = 0.0
    heard_ms: float = 0.0
    delays_ms: list[float] = field(default_factory=list)
    gaps: int = 0
    gap_ms: float = 0.0


def chunk_of(index: int) -> npt.NDArray[np.int16]:
    """Return the 10 ms at `index`: a hum, and a burst every second."""
    t = (np.arange(CHUNK) + index * CHUNK) / RATE_HZ
    wave = HUM * np.sin(2 * np.pi * 300 * t)
    if index % 100 < BURST_CHUNKS:
        wave += BURST * np.sin(2 * np.pi * 1000 * t)
    return (wave * 32767).astype(np.int16)


async def speak(source: rtc.AudioSource, bursts: list[float], until_s: float) -> None:
    """Publish on this loop's clock; record when each burst's first sample was captured."""
    loop = asyncio.get_running_loop()
    begun_s, index = loop.time(), 0
    while loop.time() < until_s:
        due_s = begun_s + index * 0.01
        await asyncio.sleep(max(due_s - loop.time(), 0.0))
        if index % 100 == 0:
            bursts.append(loop.time())
        samples = chunk_of(index)
        await source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE_HZ, 1, CHUNK))
        index += 1


async def listen(track: rtc.Track, ear: Ear, bursts: list[float], settle_s: float) -> None:
    """Find the bursts and the gaps in the received sound."""
    loop = asyncio.get_running_loop()
    stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1, frame_size_ms=10)
    since_burst, silent_run = 1000, 0
    heard = False
    async for event in stream:
        wave = np.frombuffer(event.frame.data, dtype=np.int16).astype(np.float32) / 32768
        now_s = loop.time()
        since_burst += 1
        if np.abs(wave).max() > ONSET and since_burst > 50:
            since_burst = 0
            sent_s = max((at for at in bursts if at < now_s), default=now_s)
            if now_s > settle_s:
                ear.delays_ms.append((now_s - sent_s) * 1000)
            heard = True
        for part in wave.reshape(2, -1):  # 5 ms each
            if heard and now_s > settle_s and np.sqrt(np.mean(part**2)) < SILENT:
                silent_run += 1
                ear.gap_ms += 5
                ear.gaps += silent_run == 1
            else:
                silent_run = 0


async def person(http: httpx.AsyncClient, seconds: float) -> Ear:
    """Run one person in a room of its own."""
    loop = asyncio.get_running_loop()
    answer = await http.post("/token", json={})
    answer.raise_for_status()
    token = answer.json()
    room, ear, bursts = rtc.Room(), Ear(), list[float]()
    heard: asyncio.Future[rtc.Track] = loop.create_future()
    room.on("track_subscribed", lambda track, *_: heard.done() or heard.set_result(track))
    await room.connect(token["server_url"], token["participant_token"])
    joined_s = loop.time()
    source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=0)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False)
    track = rtc.LocalAudioTrack.create_audio_track("mouth", source)
    await room.local_participant.publish_track(track, options)
    remote = await asyncio.wait_for(heard, 10)
    ear.joined_ms = (loop.time() - joined_s) * 1000
    settle_s = loop.time() + 4  # jitter buffers and cushions settle
    listening = asyncio.create_task(listen(remote, ear, bursts, settle_s))
    await speak(source, bursts, settle_s + seconds)
    listening.cancel()
    await room.disconnect()
    return ear


async def measure(url: str, rooms: int, seconds: float) -> dict[str, float | int]:
    """Measure one row of the table."""
    async with httpx.AsyncClient(base_url=url, timeout=10) as http:
        ears = await asyncio.gather(*(person(http, seconds) for _ in range(rooms)))
    delays = np.array([delay for ear in ears for delay in ear.delays_ms])
    return {
        "rooms": rooms,
        "bursts": len(delays),
        "median_ms": round(float(np.median(delays)), 1),
        "p99_ms": round(float(np.percentile(delays, 99)), 1),
        "gaps": sum(ear.gaps for ear in ears),
        "gap_ms": round(sum(ear.gap_ms for ear in ears)),
        "agent_there_ms": round(float(np.median([ear.joined_ms for ear in ears]))),
    }


async def main() -> None:
    disable_native_log_capture()  # else the people take a core of their own
    settings = load_settings()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rooms", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--url", default=f"http://127.0.0.1:{settings.port}")
    arguments = parser.parse_args()
    rows = []
    for rooms in arguments.rooms:
        row = await measure(arguments.url, rooms, arguments.seconds)
        if not rows:
            print("  ".join(f"{name:>15}" for name in row))
        print("  ".join(f"{value:>15}" for value in row.values()), flush=True)
        rows.append(row)
    print(json.dumps({"bench": "echo", "seconds": arguments.seconds, "rows": rows}))


if __name__ == "__main__":
    asyncio.run(main())
