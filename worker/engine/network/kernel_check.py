"""Whether the Triton kernels run here: they are compiled, run once and compared with torch.

Runs before the model is loaded, on the thread that loads. Knows no setting.
"""

import torch
from torch.nn import functional as F

from worker.engine.kv_choice import KvMemory
from worker.engine.network.memory import Memory
from worker.engine.network.ring import Filled, KvRing, Positions
from worker.engine.network.sampler import pick

RING, FRAMES, ROWS, HEADS = 160, 2, 2, 2
MOST_DIFFERENCE = 0.05  # of numbers around 1, in bfloat16
LEAST_DIM = 16  # of a tensor-core product
DIM, EPS = 96, 1e-5  # of a norm; not a power of two
DRAWS, WIDTH = 32, 40


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
            *(kernel_difference(device, dtype, head_dim, int8=each) for each in (False, True)),
            *layer_differences(device, dtype),
        ]
    except Exception as error:  # Triton raises what its parts raise: no compiler, no headers, …
        return f"Triton could not build its kernels ({type(error).__name__}: {error})"
    if max(differences) > MOST_DIFFERENCE:
        return f"the kernels differ from torch by {max(differences):.2g} on this card"
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


@torch.inference_mode()
def layer_differences(device: torch.device, dtype: torch.dtype) -> list[float]:
    """Return the largest differences of the other kernels: sum, norm, gate; and the draws'."""
    from worker.engine.network import layer_kernels  # Triton is not there on every machine

    generator = torch.Generator(device).manual_seed(1)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=device)

    x, y, alpha = *(noise(2, ROWS, DIM) / 2).to(dtype), noise(DIM)
    total, normed = layer_kernels.add_norm(alpha, EPS, x, y)
    gates, value = x.chunk(2, dim=-1)
    best, ids = noise(DRAWS, WIDTH).topk(WIDTH, dim=-1)
    cold, kept = torch.ones(DRAWS, 1, device=device), torch.ones(DRAWS, WIDTH, device=device)
    ranks = (best, ids, cold, kept, torch.rand(DRAWS, generator=generator, device=device))
    pairs = [
        (total, x + y),
        (normed, F.rms_norm((x + y).float(), (DIM,), alpha, EPS)),
        (layer_kernels.silu_gate(x), F.silu(gates) * value),
    ]
    upside_down = (best.flip(-1), ids.flip(-1), *ranks[2:])
    wrong = (layer_kernels.pick(*upside_down) != pick(*ranks)).float().mean()
    return [*(float((a.float() - b.float()).abs().max()) for a, b in pairs), float(wrong)]


def _positions(
    offset: torch.Tensor, dtype: torch.dtype, head_dim: int
) -> tuple[Positions, Positions]:
    """One position of each row for torch, and for the kernels; nothing is rotated."""
    place = offset % RING
    filled = torch.arange(RING, device=offset.device) <= offset[:, None]
    bias = torch.where(filled, 0.0, -torch.inf).to(dtype)[:, None, None]
    index = place[:, None, None, None, None].expand(-1, 2, HEADS, 1, head_dim)
    length = (offset + 1).clamp(max=RING).int()
    return Positions(None, index, bias), Positions(None, filled=Filled(place, length))
