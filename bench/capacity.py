"""Measure how many sessions run in real time while sessions join and leave.

Paced sessions push a frame every 80 ms into the engine; each leaves after a while and another joins
at once. Measured per frame: arrival → delivered, on the engine's own thread (what the rooms' loops
add is `bench.bridge`). A miss is a frame that was delivered more than 80 ms after it came, or was
dropped, or never came. The search halves: the largest number of sessions that held twice, with a
99th percentile below 80 ms and without a miss.

A trial is shorter than the calls that its sessions stand for, so renewals are made to occur as in
long calls: a session that is renewed is treated as one that has talked for half a context, and
sessions are renewed as often as so many long calls need it. With `--prompted` the model is treated
as a PersonaPlex, and every other session that joins has a new prompt.

In the same run, at that number (at least 4): steps per 80 ms and slots per step where all sessions
cut their frames on one grid (the phase lock, as a worker does), and where each has its own phase;
not with `--search-only`.

    python -m bench.capacity                                    # the pocket Moshi on a CPU
    python -m bench.capacity --arch moshi7b --random --most 96  # 7B in bf16 on CUDA

A table, then one line of JSON.
"""

import argparse
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import structlog
import torch

from bench import models
from bench.models import PERSONA
from bench.trial import CapacityRow, CountedStep, Trial
from protocol.personas import Persona
from worker.engine.conversation.renewal_rules import RenewalRules
from worker.engine.engine import Engine
from worker.engine.model import Model
from worker.engine.recognition.listeners import Recognition

TEXT_FRAMES = 100  # of a prompt


def main() -> None:
    options, device = read_options()
    step, engine = start(options, device)
    name = models.name_of(options, device)
    print(f"{options.arch} on {name}; context {options.context or 'own'}")
    print("  ".join(f"{name:>14}" for name in CapacityRow.__dataclass_fields__))
    rows: list[CapacityRow] = []
    personas = joining_personas(prompted=options.prompted)

    def trial(sessions: int, *, grid: bool = True) -> CapacityRow:
        row = Trial(engine, step, sessions, personas, grid=grid).run(options.seconds, options.stay)
        print("  ".join(f"{value:>14}" for value in asdict(row).values()), flush=True)
        rows.append(row)
        return row

    holds, fails = 0, options.most + 1
    sessions = options.most
    while holds + min(options.within, options.most) < fails:
        if trial(sessions).holds and trial(sessions).holds:  # once may be luck
            holds = sessions
        else:
            fails = sessions
        sessions = (holds + fails) // 2
    for grid in () if options.search_only else (True, False):
        trial(max(holds, min(4, options.most)), grid=grid)
    engine.stop()
    load = round(os.getloadavg()[0], 1)
    print(f"largest number of sessions with p99 < 80 ms and no miss: {holds} (load {load})")
    result = {"bench": "capacity", "arch": options.arch, "device": name, "load": load}
    result |= {"context": options.context, "most_tried": options.most, "sessions": holds}
    print(json.dumps(result | {"torch": torch.__version__, "rows": [asdict(row) for row in rows]}))


def read_options() -> tuple[argparse.Namespace, torch.device]:
    parser = models.options_of(__doc__)
    parser.add_argument("--most", type=int, default=12, help="the most sessions to try")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each trial")
    parser.add_argument("--stay", type=float, default=8.0, help="mean seconds of a session")
    parser.add_argument("--within", type=int, default=1, help="sessions by which it may be too few")
    parser.add_argument("--search-only", action="store_true", help="no trials beyond the search")
    parser.add_argument("--prompted", action="store_true", help="as if it were a PersonaPlex")
    return models.read(parser)


def joining_personas(*, prompted: bool) -> Iterator[Persona]:
    """Yield occupants without end: with a cached prompt, then with a new one, in turn."""
    for number in itertools.count():
        yield models.with_prompt(number * (number % 2), TEXT_FRAMES) if prompted else PERSONA


def start(
    options: argparse.Namespace,
    device: torch.device,
    engine_class: type[Engine] = Engine,
    recognition: Recognition | None = None,
) -> tuple[CountedStep, Engine]:
    """Start the engine for the largest number of sessions, and run every batch size once."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    lm, mimi = models.load(options, device, options.most, prompted=options.prompted)
    reading = models.as_prompted(models.VOICE_FRAMES, mimi.frame_size) if options.prompted else None
    stored = models.stored(options, device)
    step = CountedStep(lm, mimi, options.most, reading=reading, stored=stored)
    step.rows, step.times_s = [], []
    step.renewed_every = int((lm.context or 0) * RenewalRules().at_share) - step.renewal.keep_frames
    list(step.warm([next(joining_personas(prompted=options.prompted))]))
    silence = np.zeros((step.capacity, 1920), dtype=np.float32)
    for slots in step.graphs:
        step.run(silence, np.arange(step.capacity) < slots)

    def failed(error: BaseException) -> None:
        raise SystemExit(f"the engine failed: {error}")

    model = Model("bench", step, (), (), recognition=recognition)
    engine = engine_class(model, on_failure=failed)
    engine.start()
    return step, engine


if __name__ == "__main__":
    main()
