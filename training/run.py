"""A training run that can be stopped at any moment and then goes on where it was.

State is written to a temporary file and then moved. Steps are counted, not seconds, and the random
numbers of a step follow from its number: a run that was interrupted ends like one that was not (but
for the order in which a machine adds floats).
"""

import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

SAVE_EVERY_S = 120.0
SAY_EVERY = 25

Losses = dict[str, float]


@dataclass(slots=True)
class Run:
    """One stage's run: its model, optimizer and number of steps."""

    name: str
    state: Path
    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    steps: int
    peak_rate: float
    warm_up: int = 100
    seed: int = 0
    at: int = 0
    spent_s: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list[dict[str, float]])

    @property
    def path(self) -> Path:
        """Return the file of its state."""
        return self.state / f"{self.name}.pt"

    @property
    def over(self) -> bool:
        """Return whether all steps are done."""
        return self.at >= self.steps

    def resume(self) -> None:
        """Go on from the saved state, if there is one."""
        if not self.path.exists():
            return
        saved = torch.load(self.path, map_location="cpu", weights_only=False)
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.at, self.spent_s, self.history = saved["at"], saved["spent_s"], saved["history"]

    def save(self) -> None:
        """Write the state."""
        self.state.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".draft")
        content: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "at": self.at,
            "spent_s": self.spent_s,
            "history": self.history,
        }
        torch.save(content, draft)
        draft.rename(self.path)
        curve = self.state / f"{self.name}.json"
        curve.write_text(json.dumps({"spent_s": self.spent_s, "history": self.history}))

    def go(self, step: Callable[[random.Random], Losses]) -> None:
        """Run all steps that are left; `step` computes one, steps the optimizer, returns losses."""
        saved_s = begun_s = time.monotonic()
        before_s = self.spent_s
        sums: Losses = {}
        while not self.over:
            self._set_rate()
            torch.manual_seed(self.seed * 1_000_003 + self.at)
            for name, value in step(random.Random(self.seed * 1_000_003 + self.at)).items():
                sums[name] = sums.get(name, 0.0) + value / SAY_EVERY
            self.at += 1
            self.spent_s = before_s + time.monotonic() - begun_s
            if self.at % SAY_EVERY == 0:
                self._say(sums)
                sums = {}
            if time.monotonic() - saved_s > SAVE_EVERY_S:
                self.save()
                saved_s = time.monotonic()
        self.save()

    def _set_rate(self) -> None:
        done = self.at / self.steps
        rate = min(1.0, (self.at + 1) / self.warm_up) * (
            0.49 * (1 + math.cos(math.pi * done)) + 0.02
        )
        for group in self.optimizer.param_groups:
            group["lr"] = self.peak_rate * rate

    def _say(self, losses: Losses) -> None:
        self.history.append({"step": float(self.at), **losses})
        told = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
        print(f"{self.name} {self.at}/{self.steps} {self.spent_s:.0f} s {told}", flush=True)
