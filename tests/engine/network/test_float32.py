"""The effect of cuDNN's TF32 on Mimi, shown on a CPU; on CUDA the test against upstream forbids it.

TF32 keeps 10 bits of a float32's mantissa. torch lets cuDNN use it for convolutions unless told
otherwise (`torch.backends.cudnn.allow_tf32`), so on CUDA Mimi rounds the input of each of them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from tests.engine.solo import Call, alone
from tests.engine.test_step import CONTEXT, GREEDY, make, sounds, talk
from tests.engine.tiny import tiny_lm, tiny_mimi
from worker.engine.network import convolution
from worker.engine.network.codec import as_convolutions

CONVOLUTIONS = (torch.conv1d, torch.conv_transpose1d)


class RoundedConvolutions(TorchFunctionMode):
    """Rounds what goes into torch's convolutions to 10 bits of mantissa, ties away from zero."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch."""
        if func in CONVOLUTIONS:  # a bias, the third, is added in float32
            args = (*(_to_tf32(each) for each in args[:2]), *args[2:])
        return func(*args, **(kwargs or {}))


def _to_tf32(x: torch.Tensor) -> torch.Tensor:
    bits = x.detach().contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def both() -> tuple[Call, Call]:
    """Return the same greedy call in a slot of ours, and alone in upstream."""
    heard = sounds(71, 30)[:, 0]
    step = make(4)
    step.join(2, GREEDY)
    ours = talk(step, 2, heard)
    return ours, alone(tiny_lm(context=CONTEXT), tiny_mimi(), list(heard))


def test_float32_gives_upstreams_sound() -> None:
    """Without rounding our sound is upstream's within 1e-5, 100 times less than TF32 costs."""
    ours, upstreams = both()

    assert ours.wrote == upstreams.wrote
    np.testing.assert_allclose(ours.said, upstreams.said, atol=1e-5)


def test_tf32_moves_sound_by_thousandths(monkeypatch: pytest.MonkeyPatch) -> None:
    """With rounded convolutions our sound differs from upstream's by over 1e-3, but no token.

    Ours projects codes to Mimi's width once, by a product (`codec.py`); upstream does so in every
    frame, by a convolution, which is rounded. And sums that differ in their last bit may be rounded
    apart.
    """
    monkeypatch.setattr(convolution, "by_product", lambda kernel: False)  # as on CUDA
    with RoundedConvolutions():
        ours, upstreams = both()

    apart = np.abs(np.array(ours.said) - np.array(upstreams.said)).max()
    assert ours.wrote == upstreams.wrote
    assert 1e-3 < apart < 1e-2


@pytest.mark.parametrize("allowed", [True, False])
def test_products_of_mimis_transformers_round_where_its_convolutions_do(
    monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    """TF32 is for Kyutai's own codec, and ends with its transformers."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
    with as_convolutions(torch.device("cuda")):
        assert torch.backends.cuda.matmul.allow_tf32 == allowed
    assert not torch.backends.cuda.matmul.allow_tf32
    with as_convolutions(torch.device("cpu")):
        assert not torch.backends.cuda.matmul.allow_tf32
