"""The batched step of recognition: sound of all rows in, a text token of each row out.

Holds the rows' memory and one graph for each batch size. A row that joins begins with a state that
was computed once: position 0 and the silence that the model wants before speech. Engine thread
only.
"""

from functools import partial

import numpy as np
import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMModel

from worker.engine.arrays import Mask, Pcm
from worker.engine.kv_choice import KvMemory
from worker.engine.network.captured import BatchSizes
from worker.engine.network.graphs import CHANCES
from worker.engine.network.memory import Memory, Part, Snapshot
from worker.engine.recognition.listeners import RecognitionOut
from worker.engine.recognition.network import (
    FINITE,
    PAUSE,
    TEXT,
    RecogniserWeights,
    RecognitionBuffers,
    RecognitionGraph,
)

PARTS: tuple[Part, ...] = ("lm", "codec")


class KyutaiStep:
    """A `RecognitionStep` over an `LMModel` without a depformer and a `MimiModel`."""

    def __init__(
        self,
        lm: LMModel,
        mimi: MimiModel,
        rows: int,
        *,
        silence_frames: int,
        stored: KvMemory,
    ) -> None:
        """`silence_frames` precede each person's speech."""
        self.memory = Memory(rows, lm.device)
        buffers = self.buffers = RecognitionBuffers.of(lm.device, rows, mimi.frame_size)
        with torch.no_grad():
            weights = RecogniserWeights(lm, mimi, stored)
            self.has_pauses = weights.pause is not None
            make = partial(RecognitionGraph, self.memory, buffers, weights)
            inputs, outputs = (buffers.pcm_in, buffers.exec_in), (buffers.numbers_out,)
            self._batches = BatchSizes(make, rows, None, inputs, outputs)
            self.graphs = self._batches.steps
            self._start = self._first_state(silence_frames)
            self._batches.capture()

    @property
    def capacity(self) -> int:
        return self.memory.capacity

    def join(self, row: int) -> None:
        for state in self._start:
            self.memory.load(row, state)

    def run(self, pcm: Pcm, exec_mask: Mask) -> RecognitionOut:
        self._run(pcm, exec_mask)
        numbers = self.buffers.numbers_out.host.numpy()
        for row in map(int, np.flatnonzero(exec_mask & (numbers[:, FINITE] == 0))):
            self.memory.clear(row, deep=True, parts=PARTS)
            self.join(row)
        return RecognitionOut(
            text=numbers[:, TEXT].copy(),
            pause=numbers[:, PAUSE] / CHANCES,
            valid=exec_mask & (numbers[:, FINITE] > 0),
        )

    @torch.inference_mode()
    def _run(self, pcm: Pcm, exec_mask: Mask) -> None:
        rows = int(np.max(np.flatnonzero(exec_mask), initial=0)) + 1
        self._batches.run(rows, pcm, exec_mask)

    def _first_state(self, silence_frames: int) -> list[Snapshot]:
        """Compute how every row begins, in row 0."""
        first, silence = np.zeros(self.capacity, np.bool_), np.zeros((1, 1), np.float32)
        first[0] = True
        self.buffers.exec_in.host.numpy()[:1] = True
        self.buffers.exec_in.send(1)
        next(iter(self.graphs.values())).begin()
        for _ in range(silence_frames):
            self._run(np.broadcast_to(silence, self.buffers.pcm_in.host.shape), first)
        start = [
            self.memory.save(0, "lm", frames=1 + silence_frames),
            self.memory.save(0, "codec"),
        ]
        self.memory.clear(0)
        self.buffers.exec_in.host.numpy()[:] = False  # nothing runs while graphs are recorded
        self.buffers.exec_in.send(self.capacity)
        return start
