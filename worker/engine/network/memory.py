"""The state of all slots: named tensors with a row for each slot, that never move.

Holds every tensor that outlasts a step, and the buffers of a step. Copies, clears, saves and loads
the rows of one slot, all in place, so that captured graphs and views stay true. Engine thread only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

# What is cleared and saved together: the LM state, the filters of Mimi, and what was asked for
# (sampling, seed, forced tokens).
Part = Literal["lm", "codec", "sampling"]
ALL_PARTS: tuple[Part, ...] = ("lm", "codec", "sampling")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One part of a slot's state, by tensor name; rings cut to the frames they hold."""

    part: Part
    rows: dict[str, torch.Tensor]

    @property
    def size_bytes(self) -> int:
        return sum(row.numel() * row.element_size() for row in self.rows.values())


@dataclass(frozen=True, slots=True)
class _Cell:
    tensor: torch.Tensor
    part: Part
    fill: float
    frames_dim: int | None  # which dimension of a row runs over the ring's frames; None: none


@dataclass(slots=True)
class Memory:
    """The state of all slots."""

    capacity: int
    device: torch.device
    _cells: dict[str, _Cell] = field(default_factory=dict[str, _Cell])

    def rows(self, count: int, part: Part, first: int = 0) -> "Rows":
        return Rows(self, count, part, first)

    def cell(
        self,
        name: str,
        part: Part,
        shape: Sequence[int],
        dtype: torch.dtype,
        fill: float,
        frames_dim: int | None,
    ) -> torch.Tensor:
        """Return the tensor of that name for all slots, made on the first call."""
        if name not in self._cells:
            # Not under inference mode: such tensors could be changed nowhere else.
            with torch.inference_mode(False), torch.no_grad():
                tensor = torch.full((self.capacity, *shape), fill, dtype=dtype, device=self.device)
            self._cells[name] = _Cell(tensor, part, fill, frames_dim)
        cell = self._cells[name]
        assert cell.tensor.shape[1:] == torch.Size(shape), (name, cell.tensor.shape, shape)
        return cell.tensor

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        return {name: cell.tensor for name, cell in self._cells.items()}

    @property
    def slot_bytes(self) -> int:
        return sum(tensor[0].numel() * tensor.element_size() for tensor in self.tensors.values())

    @torch.inference_mode()
    def clear(self, slot: int, *, deep: bool = False, parts: Sequence[Part] = ALL_PARTS) -> None:
        """Reset a slot's row. Rings are masked by their offset, so only `deep` zeroes them.

        A NaN in a ring is not masked (0 times NaN is NaN): a slot that went NaN needs `deep`.
        """
        for cell in self._cells.values():
            if cell.part in parts and (deep or cell.frames_dim is None):
                cell.tensor[slot].fill_(cell.fill)

    @torch.inference_mode()
    def copy(self, source: int, target: int) -> None:
        """Copy all of one slot's row over another's."""
        for cell in self._cells.values():
            cell.tensor[target].copy_(cell.tensor[source])

    @torch.inference_mode()
    def save(self, slot: int, part: Part, frames: int | None = None) -> Snapshot:
        """Return a copy of one part of a slot's state; rings only up to `frames`, if given."""
        rows: dict[str, torch.Tensor] = {}
        for name, cell in self._cells.items():
            if cell.part == part:
                row = cell.tensor[slot]
                if cell.frames_dim is not None and frames is not None:
                    row = row.narrow(cell.frames_dim, 0, min(frames, row.shape[cell.frames_dim]))
                rows[name] = row.clone()
        return Snapshot(part, rows)

    @torch.inference_mode()
    def load(self, slot: int, snapshot: Snapshot) -> None:
        """Copy a snapshot into a slot, in place; the slot's other parts stay as they are."""
        for name, saved in snapshot.rows.items():
            cell = self._cells[name]
            row = cell.tensor[slot]
            if cell.frames_dim is not None:
                row = row.narrow(cell.frames_dim, 0, saved.shape[cell.frames_dim])
            row.copy_(saved, non_blocking=True)


@dataclass(frozen=True, slots=True)
class Rows:
    """`count` slots of one part of a memory, from the slot `first` on."""

    memory: Memory
    count: int
    part: Part
    first: int

    def take(
        self,
        name: str,
        *shape: int,
        dtype: torch.dtype = torch.long,
        fill: float = 0,
        frames_dim: int | None = None,
    ) -> torch.Tensor:
        """View `[count, *shape]` of the tensor of that name; the same memory for every count."""
        tensor = self.memory.cell(f"{self.part}.{name}", self.part, shape, dtype, fill, frames_dim)
        return tensor[self.first : self.first + self.count]


@dataclass(frozen=True, slots=True)
class StepBuffer:
    """A buffer of a step's input or output that never moves, and its copy on the host.

    On CUDA the copy is pinned, so that transfers are asynchronous; on a CPU both are one tensor.
    """

    device: torch.Tensor
    host: torch.Tensor

    @classmethod
    def of(cls, device: torch.device, *shape: int, dtype: torch.dtype) -> "StepBuffer":
        there = torch.zeros(shape, dtype=dtype, device=device)
        if device.type == "cpu":
            return cls(there, there)
        pinned = device.type == "cuda"
        return cls(there, torch.zeros(shape, dtype=dtype, pin_memory=pinned))

    def send(self, rows: int) -> None:
        """Queue the copy of the first rows to the device."""
        if self.host is not self.device:
            self.device[:rows].copy_(self.host[:rows], non_blocking=True)

    def fetch(self, rows: int) -> None:
        """Queue the copy of the first rows to the host; read them after a synchronisation."""
        if self.host is not self.device:
            self.host[:rows].copy_(self.device[:rows], non_blocking=True)
