"""On CUDA a step of recognition is the replay of one graph, and gives what its code gives."""

# pyright: reportPrivateUsage=false

from pathlib import Path

import pytest
import torch

from tests.engine.recognition.folder import recogniser_folder
from tests.engine.recognition.test_step import ignore, meet
from worker.engine.recognition.load import find_recogniser
from worker.engine.recognition.step import KyutaiStep

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def step_on_gpu(folder: Path, dtype: torch.dtype) -> KyutaiStep:
    """Return the batched step of a folder's recogniser."""
    found = find_recogniser(str(folder), torch.device("cuda"), dtype, ignore, 2**33)
    step = found.load(5, ignore).listeners._step
    assert isinstance(step, KyutaiStep)
    return step


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_replayed_graphs_give_what_their_code_gives(tmp_path: Path, dtype: torch.dtype) -> None:
    """People who join, stall and leave get the same tokens with and without graphs."""
    folder = recogniser_folder(tmp_path / "stt")
    replayed, computed = step_on_gpu(folder, dtype), step_on_gpu(folder, dtype)
    for graph in computed.graphs.values():
        graph._graph = None

    assert [each.tokens for each in meet(replayed, 3)] == [
        each.tokens for each in meet(computed, 3)
    ]
