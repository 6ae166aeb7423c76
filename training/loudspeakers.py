"""Measures how the pocket Moshi answers while its own voice comes out of a loudspeaker.

    python -m training.loudspeakers

In the engine alone: each persona answers people's turns while its own voice comes back, softer and
some frames later; in half of the rows pieces of 10 ms are missing, as where sound comes late.
An answer is whole if a recogniser that knows the repertoire hears what its words say.
"""

import argparse
import json
import logging
from collections import deque

import numpy as np
import structlog

from protocol.config.settings import Settings
from training.calls import HOP, PERSONAS, Calls, recording, silence
from training.ears import Ears, spelled
from training.repertoire import lines
from training.sound import FRAME, Pcm, gain
from worker.engine.load import load_model
from worker.engine.model import Model

PEOPLE = ("NATM0", "NATF0", "NATM1", "NATF2")
ANSWER_S = 5.5


class LateVoice:
    """The loudspeaker's sound in the microphone: each slot's voice, softer, later, with gaps."""

    def __init__(self, db: float, frames: int, lost_share: float, seed: int) -> None:
        self._gain, self._lost_share = gain(db), lost_share
        self._chance = np.random.default_rng(seed)
        late = [np.zeros(FRAME, np.float32)] * (frames - 1)
        self._late = [deque(late) for _ in PERSONAS]

    def __call__(self, slot: int, said: Pcm) -> Pcm:
        """Return what comes back in this frame, after the slot said one more."""
        self._late[slot].append(said)
        pieces = self._late[slot].popleft().reshape(-1, HOP)
        kept = self._chance.random((len(pieces), 1)) >= self._lost_share
        return (self._gain * pieces * kept).reshape(FRAME).astype(np.float32)


def whole_answers(model: Model, ears: Ears, seed: int, loudspeaker: LateVoice | None) -> int:
    """Return how many answers of all personas to four turns are heard as they are written."""
    calls, whole = Calls(model, seed), 0
    for turn, voice in enumerate(PEOPLE):
        begin = calls.frames
        said = (silence(0.6 + turn / 10), recording(voice), silence(ANSWER_S))
        calls.hear(np.concatenate(said), loudspeaker)
        for call in calls.of.values():
            heard = ears.hear(call.pcm(begin, calls.frames))
            whole += heard is not None and spelled(heard) == spelled(call.text(begin, calls.frames))
    return whole


def main() -> None:
    """Print a row for each loudness, and a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--db", type=float, nargs="*", default=[-40, -30, -25, -20])
    parser.add_argument("--frames", type=int, default=3, help="of 80 ms that it comes later")
    parser.add_argument("--lost", type=float, default=0.03, help="share of pieces in half the rows")
    parser.add_argument("--seeds", type=int, default=4)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    model = load_model(Settings(capacity=len(PERSONAS)), lambda _: None)
    ears = Ears([line.text for line in lines()])
    answers, rows = options.seeds * len(PEOPLE) * len(PERSONAS), list[dict[str, float | None]]()
    for db, lost in [
        (None, 0.0),
        *((db, lost) for db in options.db for lost in (0.0, options.lost)),
    ]:
        whole = 0
        for seed in range(options.seeds):
            voice = None if db is None else LateVoice(db, options.frames, lost, seed)
            whole += whole_answers(model, ears, 100 * (seed + 1), voice)
        rows.append({"db": db, "lost": lost, "whole": whole, "answers": answers})
        softer = "no loudspeaker" if db is None else f"{db:g} dB"
        print(f"{softer:15} {lost:4.0%} missing   {whole} of {answers} whole", flush=True)
    print(json.dumps({"bench": "loudspeakers", "frames": options.frames, "rows": rows}))


if __name__ == "__main__":
    main()
