"""Measure voices while people's words are recognised beside them: as many people as personas.

Every persona has a person whose speech is recognised in the engine's second batch. Measured in one
run, without people and with them: a persona's frame, arrival → delivered; a person's frame, arrival
→ its token; steps of recognition, and ticks in which they were put off. Sessions join and leave as
in `bench.capacity`. Weights are random: the cost does not depend on them.

    python -m bench.people                                             # small models on a CPU
    python -m bench.people --arch moshi7b --random --personas 64       # 7B and Kyutai's 1B on CUDA

A table, then one line of JSON.
"""

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from prometheus_client import REGISTRY

from bench import capacity, models
from bench.trial import CountedStep, Trial
from protocol.personas import Persona
from worker.engine.arrays import Mask, Pcm
from worker.engine.engine import Engine
from worker.engine.kv_choice import KvMemory
from worker.engine.model import Remembered
from worker.engine.recognition.listeners import (
    HeardFrame,
    Listener,
    Listeners,
    RecognitionOut,
)
from worker.engine.recognition.step import KyutaiStep
from worker.engine.slots import Deliver, Occupant

FLUSH_FRAMES = 19  # of kyutai/stt-1b-en_fr: 0.5 s of delay, and a second


class TimedRecognition(KyutaiStep):
    """A step that keeps its times."""

    times_s: list[float]

    def run(self, pcm: Pcm, exec_mask: Mask) -> RecognitionOut:
        """Run a step and time it."""
        begun_s = time.perf_counter()
        out = super().run(pcm, exec_mask)
        self.times_s.append(time.perf_counter() - begun_s)
        return out


@dataclass(slots=True)
class SpeakingPerson:
    """One person, with the times at which frames were pushed and their tokens came."""

    listener: Listener | None = None
    pushed_s: list[float] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)

    def hear(self, heard: HeardFrame | None) -> None:
        """Record a token. Called on the engine thread."""
        if heard is not None and heard.index < len(self.pushed_s):
            self.took_s.append(time.monotonic() - self.pushed_s[heard.index])


class Rooms(Engine):
    """An engine with a person for each of its sessions, as long as `listens`."""

    people: dict[Occupant, SpeakingPerson]
    listens = False

    def join(
        self,
        persona: Persona,
        deliver: Deliver,
        lost: Callable[[], None] = lambda: None,
        remembered: Remembered | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> Occupant:
        """Take a slot, and a row for the person."""
        occupant = super().join(persona, deliver, lost, remembered, loop)
        if self.listens:
            person = self.people[occupant] = SpeakingPerson()
            assert self.model.recognition is not None
            person.listener = self.model.recognition.listeners.open(person.hear)
        return occupant

    def push(self, occupant: Occupant, pcm: Pcm) -> None:
        """Push a frame of the person to both."""
        person = self.people.get(occupant)
        if person is not None and person.listener is not None:
            person.pushed_s.append(time.monotonic())
            person.listener.push(pcm)
        super().push(occupant, pcm)

    def leave(self, occupant: Occupant) -> None:
        """Free the slot and the row."""
        super().leave(occupant)
        person = self.people.get(occupant)
        if person is not None and person.listener is not None:
            person.listener.close()


@dataclass(frozen=True, slots=True)
class PeopleRow:
    """The results with as many people as personas, or without people."""

    personas: int
    people: int
    voice_p50_ms: float
    voice_p99_ms: float
    voices_late: int
    step_p99_ms: float
    token_p50_ms: float | None
    token_p99_ms: float | None
    recognition_p50_ms: float | None
    recognition_p99_ms: float | None
    put_off: int
    unheard_frames: int
    without_row: int


def main() -> None:
    options, device = read_options()
    rooms, step, recognition = start(options, device)
    rows: list[PeopleRow] = []
    print(f"{options.arch} on {models.name_of(options, device)}")
    print("  ".join(f"{name:>14}" for name in PeopleRow.__dataclass_fields__))
    for listens in (False, True, True):  # twice: once may be luck
        rooms.listens, rooms.people = listens, {}
        recognition.times_s.clear()
        rows.append(measured(rooms, step, recognition, options))
        print("  ".join(f"{value!s:>14}" for value in asdict(rows[-1]).values()), flush=True)
    rooms.stop()
    result = {"bench": "people", "arch": options.arch, "device": models.name_of(options, device)}
    print(json.dumps(result | {"torch": torch.__version__, "rows": [asdict(row) for row in rows]}))


def measured(
    rooms: Rooms, step: CountedStep, recognition: TimedRecognition, options: argparse.Namespace
) -> PeopleRow:
    before = put_off(), unrecognised()
    personas = itertools.repeat(models.PERSONA)
    voices = Trial(rooms, step, options.personas, personas, grid=True)
    row = voices.run(options.seconds, options.stay)
    people = list(rooms.people.values())
    tokens_ms = [took_s * 1000 for person in people for took_s in person.took_s]
    steps_ms = [took_s * 1000 for took_s in recognition.times_s]
    return PeopleRow(
        personas=row.sessions,
        people=options.personas if rooms.listens else 0,
        voice_p50_ms=row.p50_ms,
        voice_p99_ms=row.p99_ms,
        voices_late=row.late + row.dropped + row.lost,
        step_p99_ms=row.step_p99_ms,
        token_p50_ms=percentile(tokens_ms, 50),
        token_p99_ms=percentile(tokens_ms, 99),
        recognition_p50_ms=percentile(steps_ms, 50),
        recognition_p99_ms=percentile(steps_ms, 99),
        put_off=put_off() - before[0],
        unheard_frames=unrecognised() - before[1],
        without_row=sum(person.listener is None for person in people),
    )


def percentile(values: list[float], share: float) -> float | None:
    """Return a percentile to a tenth; None without values."""
    return round(float(np.percentile(values, share)), 1) if values else None


def put_off() -> int:
    """Return how often recognition was put off until now."""
    return int(REGISTRY.get_sample_value("moshi_recognition_put_off_total") or 0)


def unrecognised() -> int:
    """Return how many frames waited too long until now."""
    return int(REGISTRY.get_sample_value("moshi_unrecognised_frames_total") or 0)


def read_options() -> tuple[argparse.Namespace, torch.device]:
    parser = models.options_of(__doc__)
    parser.add_argument("--personas", type=int, default=3, help="and as many people")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--stay", type=float, default=8.0, help="mean seconds of a session")
    return models.read(parser)


def start(
    options: argparse.Namespace, device: torch.device
) -> tuple[Rooms, CountedStep, TimedRecognition]:
    """Start the engine, with every batch size of both steps run once."""
    lm, mimi = models.recogniser(options, device)
    kernels = models.stored(options, device).kernels
    stored = KvMemory(kernels=kernels)  # of the model's own type, as in a worker
    rows = options.personas + 4
    recognition = TimedRecognition(lm, mimi, rows, silence_frames=0, stored=stored)
    recognition.times_s = []
    listeners = Listeners(recognition, FLUSH_FRAMES)
    listeners.rehearse()
    options.most, options.prompted = options.personas, False
    step, engine = capacity.start(options, device, Rooms, models.as_recognition(listeners))
    assert isinstance(engine, Rooms)
    engine.people = {}
    return engine, step, recognition


if __name__ == "__main__":
    main()
