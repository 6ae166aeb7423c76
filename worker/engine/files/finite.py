"""Weights that are no numbers: one of them makes every frame NaN, and the model mute for ever."""

import torch

from protocol.errors import InvalidInput


def refuse_not_finite(where: str, name: str, tensor: torch.Tensor) -> None:
    """Raise `InvalidInput` for a tensor with NaN or infinity, which `where` and `name` tell."""
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise InvalidInput(
            f"MODEL={where}: the tensor {name} holds NaN or infinity, so the model could say "
            "nothing; the training failed, or the file is damaged: use another checkpoint"
        )
