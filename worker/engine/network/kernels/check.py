"""Whether the Triton kernels run here: they are compiled, run once and compared with torch.

Runs before the model is loaded, on the thread that loads. Knows no setting.
"""

import torch
from moshi.models.lm import LMModel

from worker.engine.network.kernels.comparisons import (
    CODEC_DIM,
    CODEC_FRAMES,
    RINGS,
    codec_difference,
    draw_differences,
    kernel_difference,
    layer_differences,
    nearest_difference,
    product_differences,
)
from worker.engine.network.positions import fits_kernels
from worker.engine.network.transformer import attended_in
from worker.engine.network.unsupported import layers_of

MOST_DIFFERENCE = 0.05  # of numbers around 1, in bfloat16


def why_no_kernels(device: torch.device, lm: LMModel) -> str | None:
    """Return why a step of this model cannot use the kernels, one clause; None: it can.

    `lm` may be without weights (on the meta device).
    """
    if device.type != "cuda":
        return "the kernels run on CUDA alone"
    if not fits_kernels(_head_dim(lm)):
        return f"the kernels need heads of 16, 32, 64, 128 or 256 numbers, not {_head_dim(lm)}"
    try:
        import triton  # type: ignore[import-untyped]  # noqa: F401  of torch's CUDA wheels
    except ImportError:
        return "Triton is not installed"
    try:
        found = differences(device, lm)
    except Exception as error:  # Triton raises what its parts raise: no compiler, no headers, …
        return f"Triton could not build its kernels ({type(error).__name__}: {error})"
    worst = max(found, key=found.__getitem__)
    if found[worst] > MOST_DIFFERENCE:
        return f"the kernels' {worst} differ from torch's by {found[worst]:.2g} on this card"
    return None


def differences(device: torch.device, lm: LMModel) -> dict[str, float]:
    """Return the largest difference of each group of kernels, in the types of the model's step."""
    # Attention and logits of 8-bit weights are float16, and no other kernel has their numbers.
    attended = attended_in(layers_of(lm.transformer)[0].self_attn, lm.dtype)
    rings = [(attended, _head_dim(lm), 1, int8) for int8 in (False, True)]
    rings.append((torch.float32, CODEC_DIM, CODEC_FRAMES, False))
    types = lm.dtype, torch.float32  # the language model's and Mimi's
    found = {
        "attention": [
            kernel_difference(device, dtype, dim, frames, ring=ring, int8=int8)
            for ring in RINGS
            for dtype, dim, frames, int8 in rings
        ],
        "norms": [each for dtype in types for each in layer_differences(device, dtype)],
        "products": [each for dtype in types for each in product_differences(device, dtype)],
        "codebooks": [nearest_difference(device)],
        "convolutions": [codec_difference(device, tf32=each) for each in (False, True)],
    }
    if lm.depformer is not None:  # a recogniser draws nothing
        cards = len(lm.text_linear.get_parameter("weight")), lm.card
        found["draws"] = draw_differences(device, attended, cards)
    return {name: max(each) for name, each in found.items()}


def _head_dim(lm: LMModel) -> int:
    attention = layers_of(lm.transformer)[0].self_attn
    return attention.embed_dim // attention.num_heads
