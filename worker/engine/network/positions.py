"""Where a step's positions go in a ring, what they see and how they turn: the same for all layers.

Computed once a step, for torch's attention or for the kernels. Engine thread only.
"""

import math
from dataclasses import dataclass

import torch

LEAST_DIM = 16  # of a tensor-core product
# Positions of a lap. A float32 has 0.25 rad left of a position's angle after a day of Mimi's, and
# 1 rad after a week: an angle is that of whole laps, in full precision, and that of the rest.
LAP = 4096
Rope = tuple[torch.Tensor, torch.Tensor]  # [D / 2] angle of a position, and of a lap


@dataclass(frozen=True, slots=True)
class Filled:
    """The places and rotations of a step for the kernels, a row for each slot."""

    place: torch.Tensor  # [B] place in the ring of this step's first position
    length: torch.Tensor  # [B] int32 filled places with this step's; 0: the row does not run
    turn: torch.Tensor | None  # [B, T, D/2, 2] float32 cosine and sine; None: no rope


@dataclass(frozen=True, slots=True)
class Positions:
    """The places, rotations and mask of a step for torch's attention."""

    turn: torch.Tensor | None  # [B, 3, 1, T, D/2] complex, of which a value's is 1; None: no rope
    index: torch.Tensor  # [B, 2, H, T, D] where keys and values go in the ring
    bias: torch.Tensor  # [B, 1, T, ring] 0 or -inf


class Places:
    """The places of a ring. Kernels, if any, serve `step` positions at a time."""

    def __init__(
        self,
        ring: int,
        heads: int,
        head_dim: int,
        freqs: torch.Tensor | None,
        dtype: torch.dtype,
        device: torch.device,
        *,
        kernels: bool = False,
        step: int = 1,
    ) -> None:
        """`freqs` `[D / 2]`: how fast the pairs of a head turn, None: they do not."""
        self._ring, self._heads, self._head_dim = ring, heads, head_dim
        self._rope: Rope | None = None
        if freqs is not None:
            self._rope = freqs, (freqs.double() * LAP % (2 * math.pi)).float()
        self._kernels, self._step = kernels and fits_kernels(head_dim), step
        self._places = torch.arange(ring, device=device)
        self._steps = torch.arange(step, device=device)
        self._turned = torch.tensor([1, 1, 0], device=device)[:, None, None, None]  # q, k, no value
        self._zero = torch.zeros((), dtype=dtype, device=device)
        self._never = torch.full((), -math.inf, dtype=dtype, device=device)

    def share(
        self, offset: torch.Tensor, frames: int, exec_mask: torch.Tensor
    ) -> Positions | Filled:
        """Return where `frames` positions go that begin at `offset` `[B]`."""
        if frames == self._step and self._kernels:
            from worker.engine.network.kernels import rings

            return Filled(*rings.place(offset, exec_mask, self._rope, self._ring, frames))
        if self._steps.shape[0] < frames:
            self._steps = torch.arange(frames, device=offset.device)
        positions = offset[:, None] + self._steps[:frames]  # [B, T]
        last = positions[:, -1:]
        held = last - (last - self._places) % self._ring  # [B, ring] position in each place
        seen = (held >= 0)[:, None]
        if frames > 1:
            seen = seen & (held[:, None] <= positions[:, :, None])
        index = (positions % self._ring)[:, None, None, :, None]
        return Positions(
            turn=self._turn(positions[:, None, None, :, None] * self._turned),
            index=index.expand(-1, 2, self._heads, -1, self._head_dim),
            bias=torch.where(seen, self._zero, self._never)[:, None],
        )

    def _turn(self, positions: torch.Tensor) -> torch.Tensor | None:
        """Return the rotation at positions `[B, …, 1]`, `[B, …, D/2]`."""
        if self._rope is None:
            return None
        freqs, laps = self._rope
        angle = (positions // LAP).float() * laps + (positions % LAP).float() * freqs
        return torch.complex(angle.cos(), angle.sin())


def fits_kernels(head_dim: int) -> bool:
    """Return whether the kernels take heads of so many numbers."""
    return head_dim >= LEAST_DIM and head_dim & (head_dim - 1) == 0
