"""A training run that was stopped goes on as if it had not been."""

import random
from pathlib import Path

import torch

from training.run import Losses, Run

STEPS = 12


def _run(state: Path) -> Run:
    """Return a run that resumes from its state, if there is one."""
    torch.manual_seed(3)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.AdamW(model.parameters(), 0.1)
    run = Run("small", state, model, optimizer, STEPS, 0.1, warm_up=2)
    run.resume()
    return run


def _go(run: Run, until: int = STEPS) -> None:
    """Run until the end, or save and stop before step `until`."""

    def step(rng: random.Random) -> Losses:
        if run.at == until:
            run.save()
            raise KeyboardInterrupt
        loss = run.model(torch.randn(8, 4) + rng.random()).square().mean()
        run.optimizer.zero_grad()
        loss.backward()
        run.optimizer.step()
        return {"loss": loss.item()}

    run.go(step)


def test_stopped_run_ends_like_one_that_was_not(tmp_path: Path) -> None:
    """After a stop and a resumption the weights equal those of an uninterrupted run."""
    whole = _run(tmp_path / "whole")
    _go(whole)
    stopped = _run(tmp_path / "stopped")
    try:
        _go(stopped, until=5)
    except KeyboardInterrupt:
        stopped = _run(tmp_path / "stopped")
    assert stopped.at == 5
    _go(stopped)
    assert torch.equal(stopped.model.weight, whole.model.weight)
    assert (stopped.over, whole.over) == (True, True)
