"""Measure the time from a persona's join to its first frame, with others in the batch.

Three ways with the same prompt (voice, silence, text, silence). Cached: the prompt was read before,
so a join is one copy, and the next step gives a frame. New: the prompt is not cached, so it is read
in pieces in the gaps between steps, 80 ms less the step each; the slot is silent until then.
Sequential: upstream's way, `LMGen` of moshi 0.2.13 alone, one step per frame of the prompt, then
Mimi, `LMGen` and Mimi for the first frame. Its model is PersonaPlex's after the cut to 8 depformer
steps, which is Moshi's architecture too; NVIDIA's server runs 16, so it takes longer still.

With one torch thread on a CPU the clock of cached and sequential is the thread's own, which stands
still while other programs have the core.

    python -m bench.persona_start                                  # the pocket Moshi on a CPU
    python -m bench.persona_start --arch moshi7b --random --slots 64   # 7B in bf16 on CUDA

A table, then one line of JSON. The goal: cached takes at most 5 % of sequential.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMGen, LMModel
from moshi.utils.compile import no_compile

from bench import models
from protocol.personas import Persona
from worker.engine.arrays import Pcm
from worker.engine.engine import GAP_MARGIN_S
from worker.engine.step import MoshiStep
from worker.frames import FRAME_S

Clock = Callable[[], float]


def main() -> None:
    parser = models.options_of(__doc__)
    parser.add_argument("--slots", type=int, default=4, help="of which all but one are talking")
    parser.add_argument("--voice-frames", type=int, default=models.VOICE_FRAMES)
    parser.add_argument("--text-frames", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=10)
    options, device = models.read(parser)

    def who(number: int) -> Persona:
        return models.with_prompt(number, options.text_frames)

    lm, mimi = models.load(options, device, options.slots, prompted=True)
    reading = models.as_prompted(options.voice_frames, mimi.frame_size)
    sizes = None if device.type == "cpu" else [options.slots]
    step = MoshiStep(
        lm,
        mimi,
        options.slots,
        batch_sizes=sizes,
        reading=reading,
        stored=models.stored(options, device),
    )
    list(step.warm([who(0)]))
    on_thread = device.type == "cpu" and options.threads == 1
    clock = time.thread_time if on_thread else time.perf_counter
    noise = np.random.default_rng(0).normal(size=(step.capacity, mimi.frame_size)) * 0.1
    pcm = noise.astype(np.float32)
    for slot in range(1, step.capacity):
        step.join(slot, models.PERSONA)
        while step.work(1.0):
            pass
    frames = len(step.forcing.prompts.tokens(who(0)).frames)
    times = {
        "cached": [cached_s(step, pcm, who(0), clock) for _ in range(options.rounds + 1)],
        "new": [new_s(step, pcm, who(n + 1)) for n in range(options.rounds)],
        "sequential": [
            sequential_s(lm, mimi, frames, clock) for _ in range(max(1, options.rounds // 4))
        ],
    }
    report(options, models.name_of(options, device), frames, times)


def cached_s(step: MoshiStep, pcm: Pcm, persona: Persona, clock: Clock) -> float:
    """Return the seconds from the join to the first frame, while others compute theirs."""
    begun_s = clock()
    step.join(0, persona)
    out = step.run(pcm, np.ones(step.capacity, dtype=np.bool_))
    took_s = clock() - begun_s
    assert out.valid[0], "the first step after the join gave no frame"
    return took_s


def new_s(step: MoshiStep, pcm: Pcm, persona: Persona) -> float:
    """Return the seconds until the slot may speak, with a step and its gap every 80 ms."""
    step.join(0, persona)
    frames = 0
    while 0 in step.forcing.hushed():
        begun_s = time.perf_counter()
        step.run(pcm, np.ones(step.capacity, dtype=np.bool_))
        gap_s = FRAME_S - GAP_MARGIN_S - (time.perf_counter() - begun_s)
        if gap_s > 0:
            step.work(gap_s)
        frames += 1
    return (frames + 1) * FRAME_S


def sequential_s(lm: LMModel, mimi: MimiModel, frames: int, clock: Clock) -> float:
    """Return the seconds of upstream's prompt and of its first frame."""
    lm_gen = LMGen(lm)
    codes = torch.zeros(1, lm.n_q - lm.dep_q, 1, dtype=torch.long, device=lm.device)
    noise = torch.randn(1, 1, mimi.frame_size).to(lm.device) * 0.1
    with torch.no_grad(), no_compile(), lm_gen.streaming(1), mimi.streaming(1):
        for _ in range(3):  # graphs are captured at the second call
            lm_gen.step(codes)
            mimi.decode(mimi.encode(noise))
        _synchronize(lm)
        begun_s = clock()
        for _ in range(frames):
            lm_gen.step(codes)
        tokens = lm_gen.step(mimi.encode(noise))
        assert tokens is not None
        mimi.decode(tokens[:, 1:]).cpu()
        return clock() - begun_s


def _synchronize(lm: LMModel) -> None:
    if lm.device.type == "cuda":
        torch.cuda.synchronize()


def report(
    options: argparse.Namespace, device: str, frames: int, times: dict[str, list[float]]
) -> None:
    times["cached"] = times["cached"][1:]  # the first one warms up
    median = {way: statistics.median(values) * 1e3 for way, values in times.items()}
    share = median["cached"] / median["sequential"]
    print(f"{options.arch} on {device}; a prompt of {frames} frames, {options.slots - 1} others")
    print(f"{'way':>10} {'ms':>9} {'worst ms':>9} {'of sequential':>14}")
    for way, ms in median.items():
        worst = max(times[way]) * 1e3
        print(f"{way:>10} {ms:9.1f} {worst:9.1f} {ms / median['sequential']:14.1%}")
    print(f"cached is {share:.1%} of sequential; the goal is 5 % at most")
    result = {"bench": "persona_start", "arch": options.arch, "device": device}
    numbers = {f"{way}_ms": ms for way, ms in median.items()}
    more = {"frames": frames, "slots": options.slots, "torch": torch.__version__}
    print(json.dumps({**result, **more, **numbers, "cached_share": share}))


if __name__ == "__main__":
    main()
