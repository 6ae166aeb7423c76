"""The kernel that finds centroids finds torch's, on a GPU or through Triton's interpreter."""

import pytest
import torch
from moshi.quantization.vq import SplitResidualVectorQuantizer

from tests.engine.tiny import tiny_mimi
from worker.engine.network.codec import Nearest
from worker.engine.network.kernels import comparisons
from worker.engine.network.kernels.comparisons import nearest_difference

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

pytest.importorskip("triton")


@torch.no_grad()
def test_codes_are_torchs() -> None:
    """Each row has the codes that torch finds for it, of one book and of seven in turn."""
    torch.manual_seed(0)
    mimi = tiny_mimi().to(DEVICE)
    assert isinstance(mimi.quantizer, SplitResidualVectorQuantizer)
    for part in (mimi.quantizer.rvq_first, mimi.quantizer.rvq_rest):
        x = torch.randn(3, next(part.input_proj.parameters()).shape[1], device=DEVICE)
        by_torch, by_kernels = (Nearest(part, kernels=each)(x) for each in (False, True))
        assert torch.equal(torch.stack(list(by_torch)), torch.stack(list(by_kernels)))
        assert len(by_kernels) == part.n_q


def test_of_equal_distances_the_lower_code_is_found() -> None:
    """A centroid that is there twice is found by its lower code, in books of any size."""
    from worker.engine.network.kernels.codebooks import nearest

    torch.manual_seed(0)
    books = torch.randn(2, 70, 24, device=DEVICE)
    books[:, 60] = books[:, 5]
    x = books[0, 60] + books[1, 60]
    found = nearest(torch.stack([x, x]), books, books.square().sum(dim=-1))

    assert 60 not in found.tolist()[0] + found.tolist()[1]
    assert found[0].tolist() == [int(torch.cdist(x[None], books[0]).argmin())] * 2


def test_the_check_at_the_start_finds_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's check at its start finds the codes right."""
    monkeypatch.setattr(comparisons, "CODEBOOKS", 2)  # interpreted, a book is searched for 0.3 s
    assert nearest_difference(DEVICE) == 0
