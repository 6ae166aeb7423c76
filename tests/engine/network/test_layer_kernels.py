"""The kernels between a layer's products give what torch gives.

They run on a GPU where there is one, else on the CPU through Triton's interpreter.
"""

from types import ModuleType

import pytest
import torch
from torch.nn import functional as F

from worker.engine.network import kernel_check, sampler
from worker.engine.network.kernel_check import MOST_DIFFERENCE, layer_differences

CARD = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CARD else "cpu")
EPS = 1e-5


@pytest.fixture
def kernels() -> ModuleType:
    """Return the kernels, compiled for the GPU or interpreted (tests/engine/conftest.py)."""
    return pytest.importorskip("worker.engine.network.layer_kernels")


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the check draw less often: interpreted, each draw computes for 0.1 s."""
    monkeypatch.setattr(kernel_check, "DRAWS", 8)


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


@pytest.mark.slow
def test_pick_draws_torchs_tokens(kernels: ModuleType) -> None:
    """Rows with their own temperature, top-k and chance get the ids that torch draws.

    torch gives the kernel its candidates in any order, and in the model's type.
    """
    torch.manual_seed(0)
    rows, width = 24, 20
    best, ids = noise(rows, 300).topk(width, dim=-1)
    cold = torch.rand(rows, 1, device=DEVICE) * 3
    top_k = torch.randint(1, width + 1, (rows, 1), device=DEVICE)
    kept = (torch.arange(width, device=DEVICE) < top_k).float()
    chance = torch.rand(rows, 9, device=DEVICE)
    chance[:4], chance[4:8] = 0, 1 - 2**-24
    mixed = torch.rand(rows, width, device=DEVICE).argsort(dim=-1)
    drawn = kernels.pick(best.gather(1, mixed), ids.gather(1, mixed), cold, kept, chance[:, 3])
    expected = sampler.pick(best, ids, cold, kept, chance[:, 3])
    allowed = (ids == drawn[:, None]) & (kept > 0)

    assert torch.equal(drawn[:4], ids[:4, 0])
    assert allowed.any(dim=-1).all()
    assert (drawn == expected).float().mean() > 0.9  # sums in another order may round otherwise


def test_equal_scores_are_ranked_by_id(kernels: ModuleType) -> None:
    """Among equal scores a draw does not depend on the order of the candidates."""
    torch.manual_seed(0)
    rows, width = 24, 30
    scores = (noise(1, width).expand(rows, -1) * 2).round().half()
    ids = torch.randperm(300, device=DEVICE)[:width].expand(rows, -1)
    few = torch.ones(rows, width, device=DEVICE) * (torch.arange(width, device=DEVICE) < 9)
    chance = torch.linspace(0, 0.999, rows // 2, device=DEVICE).repeat(2)
    mixed = torch.rand(rows, width, device=DEVICE).argsort(dim=-1)
    cold = torch.ones(rows, 1, device=DEVICE)
    drawn = kernels.pick(scores.gather(1, mixed), ids.gather(1, mixed), cold, few, chance)
    pairs = list(zip(scores[0].tolist(), ids[0].tolist(), strict=True))
    best = [token for _, token in sorted(pairs, key=lambda pair: (-pair[0], pair[1]))[:9]]

    assert torch.equal(drawn[: rows // 2], drawn[rows // 2 :])
    assert list(dict.fromkeys(drawn[: rows // 2].tolist())) == [
        token for token in best if token in drawn
    ]


@pytest.mark.usefixtures("few_draws")
def test_the_check_at_the_start_finds_no_difference(kernels: ModuleType) -> None:
    """A worker's check at its start finds our kernels right."""
    assert max(layer_differences(DEVICE, torch.float16)) <= MOST_DIFFERENCE


@pytest.mark.usefixtures("few_draws")
def test_the_check_at_the_start_finds_a_wrong_kernel(
    kernels: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's check at its start finds a kernel that gives other numbers."""
    monkeypatch.setattr(kernels, "silu_gate", lambda x: x[:, ::2])
    assert max(layer_differences(DEVICE, torch.float16)) > MOST_DIFFERENCE
