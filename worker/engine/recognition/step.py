"""The batched step of recognition: sound of all rows in, a text token of each row out.

Holds the rows' memory and one graph per batch size. A row that joins begins with a state that was
computed once: position 0 and the silence that the model wants before speech. Engine thread only.
"""

import numpy as np
import torch
from moshi.models.compression import MimiModel
from moshi.models.lm import LMModel

from worker.engine.arrays import Mask, Pcm
from worker.engine.kv_choice import OWN_TYPE, KvMemory
from worker.engine.network.graphs import graph_sizes
from worker.engine.network.memory import Memory, Part, Snapshot
from worker.engine.recognition.listeners import RecognitionOut
from worker.engine.recognition.network import (
    CHANCES,
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
        silence_frames: int = 0,
        stored: KvMemory = OWN_TYPE,
    ) -> None:
        """`silence_frames` precede each person's speech."""
        self._cuda = lm.device.type == "cuda"
        self.memory = Memory(rows, lm.device)
        self.buffers = RecognitionBuffers.of(lm.device, rows, mimi.frame_size)
        self._sizes = graph_sizes(rows, None, every=not self._cuda)
        with torch.no_grad():
            weights = RecogniserWeights(lm, mimi, stored)
            self.has_pauses = weights.pause is not None
            self._graphs = {
                size: RecognitionGraph(self.memory, self.buffers, weights, size)
                for size in self._sizes
            }
            self._start = self._first_state(silence_frames)
            if self._cuda:  # the largest first: the others fit into its memory
                for size in reversed(self._sizes):
                    self._graphs[size].capture(self._graphs[rows])

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
        running = np.flatnonzero(exec_mask)
        last = int(running[-1]) if running.size else 0
        rows = next(size for size in self._sizes if size > last)
        self.buffers.pcm_in.host.numpy()[:rows] = pcm[:rows]
        self.buffers.exec_in.host.numpy()[:rows] = exec_mask[:rows]
        self.buffers.pcm_in.send(rows)
        self.buffers.exec_in.send(rows)
        self._graphs[rows].run()
        self.buffers.numbers_out.fetch(rows)
        if self._cuda:
            torch.cuda.current_stream().synchronize()

    def _first_state(self, silence_frames: int) -> list[Snapshot]:
        """Compute how every row begins, in row 0."""
        first, silence = np.zeros(self.capacity, np.bool_), np.zeros((1, 1), np.float32)
        first[0] = True
        self.buffers.exec_in.host.numpy()[:1] = True
        self.buffers.exec_in.send(1)
        self._graphs[self._sizes[0]].begin()
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
