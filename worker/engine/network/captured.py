"""A computation between tensors that never move, which CUDA can replay as one graph.

On a CPU the same code runs as it is, over no more rows than are needed. Engine thread only.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, Self, TypeVar

import numpy.typing as npt
import torch

from worker.engine.network.memory import StepBuffer

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


Step = TypeVar("Step", bound=Captured)


class BatchSizes(Generic[Step]):
    """One step for each batch size, all over the first rows of the same buffers."""

    def __init__(
        self,
        make: Callable[[int], Step],
        capacity: int,
        wanted: Sequence[int] | None,
        inputs: Sequence[StepBuffer],
        outputs: Sequence[StepBuffer],
    ) -> None:
        """`wanted`: sizes below the capacity; None: all on a CPU, powers of 4 on CUDA."""
        self._inputs, self._outputs = inputs, outputs
        self._is_cuda = inputs[0].device.is_cuda
        if wanted is None:
            powers = [4**n for n in range(capacity.bit_length())]
            wanted = powers if self._is_cuda else range(1, capacity)
        sizes = sorted({*(size for size in wanted if 0 < size < capacity), capacity})
        self.steps = {size: make(size) for size in sizes}

    def capture(self) -> None:
        """Record the steps on CUDA, the largest first: the others fit into its memory."""
        steps = list(self.steps.values())
        for step in reversed(steps if self._is_cuda else []):
            step.capture(steps[-1])

    def run(self, rows: int, *values: npt.NDArray[Any]) -> None:
        """Run the smallest step of so many rows: inputs from the host, outputs to the host."""
        size = next(size for size in self.steps if size >= rows)
        for buffer, value in zip(self._inputs, values, strict=True):
            buffer.host.numpy()[:size] = value[:size]
            buffer.send(size)
        self.steps[size].run()
        for buffer in self._outputs:
            buffer.fetch(size)
        if self._is_cuda:
            torch.cuda.current_stream().synchronize()
