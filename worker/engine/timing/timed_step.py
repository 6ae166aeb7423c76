"""A model's step over gathered rows, and how long it takes. Engine thread only."""

import time

import numpy as np

from worker.engine import metrics
from worker.engine.arrays import Pcm
from worker.engine.model import Model, StepOut
from worker.engine.slots import Occupant
from worker.frames import FRAME_SAMPLES

Row = tuple[Occupant, Pcm, float]  # with the frame's arrival


class TimedStep:
    """Runs the step of a model for rows of occupants."""

    def __init__(self, model: Model) -> None:
        self.window = metrics.StepWindow()
        self._step = model.step
        self._pcm = np.zeros((model.step.capacity, FRAME_SAMPLES), dtype=np.float32)
        self._mask = np.zeros(model.step.capacity, dtype=np.bool_)

    def run(self, rows: list[Row]) -> StepOut:
        self._mask[:] = False
        for occupant, pcm, _ in rows:
            self._pcm[occupant.slot] = pcm
            self._mask[occupant.slot] = True
        begun_s = time.perf_counter()
        out = self._step.run(self._pcm, self._mask)
        took_s = time.perf_counter() - begun_s
        metrics.STEP_S.observe(took_s)
        metrics.STEP_ROWS.observe(len(rows))
        self.window.add(took_s)
        return out
