"""On CUDA a step is the replay of one graph, and gives what the same code gives without it."""

import numpy as np
import pytest
import torch

from tests.engine.test_step import CONTEXT, converse
from tests.engine.tiny import tiny_lm, tiny_mimi
from worker.engine.step import MoshiStep

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_replay_is_the_step() -> None:
    """Calls that join, stall and leave under replayed graphs are those of the code they record."""
    steps = [
        MoshiStep(tiny_lm(context=CONTEXT).cuda(), tiny_mimi().cuda(), 5, tiers=[2]) for _ in "ab"
    ]
    for each in steps[1].passes.values():
        each.forget_graph()
    replayed, computed = (converse(step, seed=3, steps=60) for step in steps)

    assert [call.wrote for call in replayed] == [call.wrote for call in computed]
    for one, other in zip(replayed, computed, strict=True):
        np.testing.assert_allclose(one.said, other.said, atol=1e-4)


def test_recording_changes_nothing() -> None:
    """Capture at start-up leaves every slot as new."""
    step = MoshiStep(tiny_lm().cuda(), tiny_mimi().cuda(), 3)

    for name in ("mind.transformer.offset", "codec.heard", "codec.ears.transformer.offset"):
        assert step.memory.tensors[name].tolist() == [0, 0, 0]
