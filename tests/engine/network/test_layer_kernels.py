"""The kernels between a layer's products give what torch gives.

They run on a GPU where there is one, else on the CPU through Triton's interpreter.
"""

from types import ModuleType
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from worker.engine.network.kernels.check import MOST_DIFFERENCE
from worker.engine.network.kernels.comparisons import layer_differences

CARD = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CARD else "cpu")
EPS = 1e-5


@pytest.fixture
def kernels() -> ModuleType:
    """Return the kernels, compiled for the GPU or interpreted (tests/engine/conftest.py)."""
    return pytest.importorskip("worker.engine.network.kernels.layers")


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return normal noise."""
    return torch.randn(shape, device=DEVICE).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("size", [64, 1000])
def test_add_norm_gives_torchs_sum_and_norm(
    kernels: ModuleType, size: int, dtype: torch.dtype
) -> None:
    """The sum is rounded as torch's, its norm is computed in float32, and y may be missing."""
    torch.manual_seed(0)
    x, y, alpha = noise(3, 2, size, dtype=dtype), noise(3, 2, size, dtype=dtype), noise(size)
    for more, expected in ((y, x + y), (None, x)):
        total, normed = kernels.add_norm(alpha, None, EPS, None, x, more)
        norm = F.rms_norm(expected.float(), (size,), alpha, EPS).to(dtype)

        assert torch.equal(total, expected)
        torch.testing.assert_close(normed, norm, atol=1e-5, rtol=2e-3)


def test_add_norm_looks_up_what_it_adds(kernels: ModuleType) -> None:
    """Rows of a table, or rows as they are, are added to rows of x that stand apart."""
    torch.manual_seed(0)
    x, table, alpha = noise(3, 200)[:, 50:150], noise(7, 100), noise(100)
    index = torch.tensor([6, 0, 6], device=DEVICE)
    norm = (alpha, None, EPS, None)
    expected = kernels.add_norm(*norm, x.contiguous(), table[index])
    for got in (kernels.add_norm(*norm, x, table, index), kernels.add_norm(*norm, x, table[index])):
        assert all(torch.equal(one, other) for one, other in zip(expected, got, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_add_norm_gives_torchs_layer_norm_of_a_scaled_sum(
    kernels: ModuleType, dtype: torch.dtype
) -> None:
    """Each channel of y is scaled before the sum; with a bias the norm is a layer norm."""
    torch.manual_seed(0)
    x, y = noise(3, 2, 500, dtype=dtype), noise(3, 2, 500, dtype=dtype)
    weight, bias, scale = noise(500), noise(500), noise(500, dtype=dtype)
    total, normed = kernels.add_norm(weight, bias, EPS, scale, x, y)

    apart = 1e-6 if dtype == torch.float32 else 4e-3  # torch rounds the product, too
    torch.testing.assert_close(total, x + scale * y, atol=apart, rtol=0)
    expected = F.layer_norm(total.float(), (500,), weight, bias, EPS).to(dtype)
    torch.testing.assert_close(normed, expected, atol=1e-5, rtol=2e-3)


@pytest.mark.parametrize("half", [48, 1500])
def test_silu_gate_gives_torchs_gate(kernels: ModuleType, half: int) -> None:
    """silu of the first half times the second is torch's, for blocks that do not divide the row."""
    torch.manual_seed(0)
    projected = noise(2, 1, 2 * half, dtype=torch.float16)
    gates, value = projected.chunk(2, dim=-1)

    torch.testing.assert_close(
        kernels.silu_gate(projected), F.silu(gates) * value, atol=1e-3, rtol=2e-3
    )


def test_the_check_at_the_start_finds_no_difference(kernels: ModuleType) -> None:
    """A worker's check at its start finds our kernels right."""
    assert max(layer_differences(DEVICE, torch.float16)) <= MOST_DIFFERENCE


@pytest.mark.parametrize("name", ["silu_gate", "layer norm", "scale", "NaN"])
def test_the_check_at_the_start_finds_a_wrong_kernel(
    kernels: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A worker's check at its start finds a kernel that gives other numbers."""
    right = kernels.add_norm

    def wrong(weight: torch.Tensor, bias: Any, eps: float, scale: Any, *more: Any) -> Any:
        bias = None if name == "layer norm" else bias
        eps = torch.nan if name == "NaN" else eps
        return right(weight, bias, eps, None if name == "scale" else scale, *more)

    monkeypatch.setattr(kernels, "add_norm", wrong)
    if name == "silu_gate":
        monkeypatch.setattr(kernels, name, lambda x: x[:, ::2])
    assert max(layer_differences(DEVICE, torch.float16)) > MOST_DIFFERENCE
