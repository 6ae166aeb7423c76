"""A computation between tensors that never move, which CUDA can replay as one graph.

Engine thread only.
"""

from abc import ABC, abstractmethod
from typing import Self

import torch

WARM_UP_STEPS = 3


class Captured(ABC):
    """One step of some rows; on a CPU it runs as it is written."""

    def __init__(self) -> None:
        self._graph: torch.cuda.CUDAGraph | None = None

    @abstractmethod
    def _compute(self) -> None:
        """Compute the step, from buffers to buffers.

        Decorate it with `no_compile`: moshi's compilation would need a C compiler at run time, and
        seconds at the first call.
        """

    def run(self) -> None:
        if self._graph is None:
            self._compute()
        else:
            self._graph.replay()

    def capture(self, first: Self) -> None:
        """Record the step as one graph, in the memory pool of `first`, which may be this one.

        No row may be set to run: recording must change nothing.
        """
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_STEPS):
                self._compute()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        pool = None if first is self or first._graph is None else first._graph.pool()
        with torch.cuda.graph(graph, pool=pool):
            self._compute()
        self._graph = graph
