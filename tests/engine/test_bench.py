"""The engine's benchmarks, at their smallest: a rename in the engine must not break them."""

import json
import sys
from importlib import import_module

import pytest
import structlog
import torch

pytestmark = pytest.mark.slow

SMALLEST = {
    "step": ["--slots", "1", "2", "--frames", "2", "--rounds", "1"],
    "capacity": ["--most", "2", "--seconds", "0.5"],
    "memory": ["--slots", "2", "--context", "60"],
    "people": ["--personas", "1", "--seconds", "0.5"],
    "persona_start": [
        "--slots",
        "2",
        "--rounds",
        "1",
        "--voice-frames",
        "5",
        "--text-frames",
        "25",
    ],
    "renewal": ["--minutes", "0.05", "--context", "60"],
}


@pytest.mark.parametrize("name", SMALLEST)
def test_each_benchmark_runs_to_its_line_of_json(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every benchmark of the engine ends with one line of JSON that names it."""
    monkeypatch.setattr(sys, "argv", [name, *SMALLEST[name]])
    threads, logging = torch.get_num_threads(), structlog.get_config()
    try:
        import_module(f"bench.{name}").main()
    finally:
        torch.set_num_threads(threads)
        structlog.configure(**logging)
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["bench"] == name
