"""Products of few rows by the kernel are torch's.

They run on a GPU where there is one, else on the CPU through Triton's interpreter.
"""

from types import ModuleType

import pytest
import torch
from moshi.modules.transformer import StreamingTransformerLayer
from moshi.utils.compile import no_compile
from torch import nn
from torch.nn import functional as F

from worker.engine.network.kernels import comparisons
from worker.engine.network.kernels.check import MOST_DIFFERENCE
from worker.engine.network.kernels.comparisons import product_differences
from worker.engine.network.operations import feed, linear

# Triton 3.6's interpreter with the pinned numpy.
pytestmark = pytest.mark.filterwarnings("ignore:Conversion of an array with ndim > 0")

CARD = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CARD else "cpu")


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the kernel, with small pieces: interpreted, a program computes for milliseconds."""
    found = pytest.importorskip("worker.engine.network.kernels.products")
    for name, value in {"SMALL": 1000, "SMALL_PIECE": 32, "PIECE": 16}.items():
        monkeypatch.setattr(found, name, value)
    return found


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize(("size", "width"), [(8, 20), (8, 32), (24, 40), (24, 64)])
def test_a_product_of_few_rows_is_torchs(
    kernels: ModuleType, size: int, width: int, rows: int
) -> None:
    """Small and large weights, read in whole pieces or not, give torch's product of each row."""
    torch.manual_seed(0)
    weight = torch.randn(size, width, device=DEVICE)
    x = torch.randn(rows, 1, width, device=DEVICE)

    torch.testing.assert_close(kernels.product(weight, x), F.linear(x, weight))
    there = torch.empty(rows, 1, size, device=DEVICE)
    assert kernels.product(weight, x, there) is there
    torch.testing.assert_close(there, F.linear(x, weight))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("size", "width"), [(8, 20), (8, 32), (24, 40), (24, 64)])
def test_a_gated_product_is_the_gate_of_the_product(
    kernels: ModuleType, size: int, width: int, dtype: torch.dtype
) -> None:
    """One kernel gives bit for bit what the product and the gate give one after the other."""
    from worker.engine.network.kernels.layers import silu_gate

    torch.manual_seed(0)
    weight = torch.randn(size, width, device=DEVICE).to(dtype)
    x = torch.randn(2, 1, width, device=DEVICE).to(dtype)

    gated, apart = kernels.gated_product(weight, x), silu_gate(kernels.product(weight, x))
    assert gated.shape == (2, 1, size // 2)
    assert torch.equal(gated, apart) or CARD  # a card adds up in an order of its own
    torch.testing.assert_close(gated, apart, atol=1e-5, rtol=2e-3)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("rows", [2, 3])
def test_a_feed_forward_part_is_upstreams(kernels: ModuleType, rows: int, gated: bool) -> None:
    """Few rows by the kernel, and more without it, give what moshi's part gives, gate or GELU."""
    torch.manual_seed(0)
    gating = {"gating": "silu"} if gated else {}
    layer = StreamingTransformerLayer(32, 2, 64, causal=True, context=8, device=DEVICE, **gating)
    x = torch.randn(rows, 1, 32, device=DEVICE)
    layer.norm2 = layer.layer_scale_2 = nn.Identity()  # leaves x + the part

    with torch.no_grad(), no_compile():
        torch.testing.assert_close(x + feed(layer, kernels=True)(x), layer._ff_block(x))


def test_the_kernel_takes_few_rows_one_after_the_other(kernels: ModuleType) -> None:
    """Three rows, rows that lie apart and layers with a bias are torch's."""
    weight, x = torch.randn(8, 32, device=DEVICE), torch.randn(4, 32, device=DEVICE)
    plain, biased = nn.Linear(32, 8, bias=False), nn.Linear(32, 8)

    assert kernels.takes(weight, x[:2])
    assert not kernels.takes(weight, x[:3])
    assert not kernels.takes(weight, x[::2])
    assert not kernels.takes(weight[:7], x[:1])
    assert linear(plain, kernels=False)(x.cpu()).shape == (4, 8)
    assert linear(biased, kernels=True) is biased


@pytest.mark.parametrize("name", ["product", "gated_product", "gelu_product"])
def test_the_check_at_start_compares_products(
    kernels: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Right products pass; one that leaves out the end of a row does not."""
    monkeypatch.setattr(comparisons, "SIZE", 24)
    monkeypatch.setattr(comparisons, "WIDTHS", (24, 96))
    assert max(product_differences(DEVICE, torch.float16)) <= MOST_DIFFERENCE

    right = getattr(kernels, name)
    monkeypatch.setattr(kernels, name, lambda weight, x: right(weight, x) - 0.1)
    assert max(product_differences(DEVICE, torch.float16)) > MOST_DIFFERENCE
