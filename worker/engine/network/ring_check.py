"""Whether the Triton kernels run here: they are compiled, run once and compared with torch.

Runs before the model is loaded, on the thread that loads. Knows no setting.
"""

import torch

from worker.engine.kv_choice import KvMemory
from worker.engine.network.memory import Memory
from worker.engine.network.ring import Filled, KvRing, Positions

RING, FRAMES, ROWS, HEADS = 160, 2, 2, 2
MOST_DIFFERENCE = 0.05  # of numbers around 1, in bfloat16
LEAST_DIM = 16  # of a tensor-core product


def why_no_kernels(device: torch.device, dtype: torch.dtype, head_dim: int) -> str | None:
    """Return why the kernels cannot be used for such heads, one clause; None: they can."""
    if device.type != "cuda":
        return "the kernels run on CUDA alone"
    if head_dim < LEAST_DIM or head_dim & (head_dim - 1):
        return f"the kernels need heads of 16, 32, 64, 128 or 256 numbers, not {head_dim}"
    try:
        import triton  # type: ignore[import-untyped]  # noqa: F401  of torch's CUDA wheels
    except ImportError:
        return "Triton is not installed"
    try:
        differences = [
            kernel_difference(device, dtype, head_dim, int8=each) for each in (False, True)
        ]
    except Exception as error:  # Triton raises what its parts raise: no compiler, no headers, …
        return f"Triton could not build its kernels ({type(error).__name__}: {error})"
    if max(differences) > MOST_DIFFERENCE:
        return f"the kernels differ from torch's attention by {max(differences):.2g} on this card"
    return None


@torch.inference_mode()
def kernel_difference(
    device: torch.device, dtype: torch.dtype, head_dim: int, *, int8: bool
) -> float:
    """Return the largest difference between the kernels' attention and torch's, in both types."""
    generator = torch.Generator(device).manual_seed(0)
    rings = [
        KvRing(
            Memory(ROWS, device).rows(ROWS, "lm"),
            "check",
            HEADS,
            RING,
            head_dim,
            dtype,
            KvMemory(int8=int8, kernels=kernels),
        )
        for kernels in (False, True)
    ]
    difference = 0.0
    for frame in range(FRAMES):
        shape = (ROWS, 1, 3 * HEADS * head_dim)
        x = torch.randn(shape, generator=generator, device=device).to(dtype)
        offset = torch.tensor([frame, RING + frame], device=device)
        by_torch, by_kernels = (
            ring(x, each)
            for ring, each in zip(rings, _positions(offset, dtype, head_dim), strict=True)
        )
        difference = max(difference, float((by_torch - by_kernels).abs().max()))
    return difference


def _positions(
    offset: torch.Tensor, dtype: torch.dtype, head_dim: int
) -> tuple[Positions, Positions]:
    """One position of each row for torch, and for the kernels; nothing is rotated."""
    place = offset % RING
    filled = torch.arange(RING, device=offset.device) <= offset[:, None]
    bias = torch.where(filled, 0.0, -torch.inf).to(dtype)[:, None, None]
    index = place[:, None, None, None].expand(-1, HEADS, 1, head_dim)
    length = (offset + 1).clamp(max=RING).int()
    return Positions(None, index, bias), Positions(None, filled=Filled(place, length))
