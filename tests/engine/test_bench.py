"""The engine's benchmarks, at their smallest: a rename in the engine must not break them."""

import argparse
import json
import sys
from importlib import import_module

import pytest
import structlog
import torch

from bench import __main__ as every
from bench import models

pytestmark = pytest.mark.slow

SMALLEST = {
    "step": ["--slots", "1", "2", "--ages", "0", "30", "--frames", "2", "--rounds", "1"],
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


class OptionsRead(Exception):
    """A benchmark has read its options."""


class Plan:
    """A memory plan of a large card."""

    most = 200


@pytest.mark.parametrize("quick", [False, True])
def test_the_runs_on_a_gpu_have_options_that_their_benchmarks_know(
    quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each benchmark reads the options of its runs on a GPU, and each goal has its run."""

    def read(parser: argparse.ArgumentParser) -> None:
        parser.parse_args()
        raise OptionsRead

    monkeypatch.setattr(models, "plan_7b", lambda *_, **__: Plan())
    monkeypatch.setattr(models, "read", read)
    options = argparse.Namespace(quick=quick, minutes=60.0)
    runs, goals = every.on_gpu(options, torch.device("cpu"))
    for run in runs:
        monkeypatch.setattr(sys, "argv", [run.module, *run.options])
        with pytest.raises(OptionsRead):
            import_module(f"bench.{run.module}").main()
    assert {goal.run for goal in goals} <= {run.name for run in runs}


def test_a_step_is_measured_for_each_age_and_the_youngest_first(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`bench.step` has a row for each age and size; the first is the goal's, also without solo."""
    ages = ["--ages", "0", "30", "--slots", "1", "2", "--frames", "2", "--rounds", "1", "--no-solo"]
    monkeypatch.setattr(sys, "argv", ["step", *ages])
    threads = torch.get_num_threads()
    try:
        import_module("bench.step").main()
    finally:
        torch.set_num_threads(threads)
    result = json.loads(capfd.readouterr().out.splitlines()[-1])
    rows = [(row["age"], row["slots"], row["times_solo"]) for row in result["rows"]]

    assert rows == [(0, 1, None), (0, 2, None), (30, 1, None), (30, 2, None)]
    assert every.ms_of_one(result) == result["rows"][0]["ms"]


def test_what_was_measured_is_printed_before_what_fails(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`bench.step` prints the row of a size as soon as it is measured."""
    from bench import step

    def fails(*_: object) -> None:
        raise RuntimeError("the card is gone")

    monkeypatch.setattr(step, "kernels_of", fails)
    monkeypatch.setattr(sys, "argv", ["step", "--slots", "2", *SMALLEST["step"][3:], "--no-solo"])
    threads = torch.get_num_threads()
    try:
        with pytest.raises(RuntimeError, match="the card is gone"):
            step.main()
    finally:
        torch.set_num_threads(threads)
    rows = [line.split() for line in capfd.readouterr().out.splitlines()]

    assert [row[:2] for row in rows[-2:]] == [["0", "2"], ["30", "2"]]


def test_a_benchmark_whose_last_line_is_no_result_failed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A line of the log behind a benchmark's result, or nothing at all, ends no other benchmark."""
    options = argparse.Namespace(arch="pocket", random=False)
    for line in ("", "2026-11-30 an error"):
        run = every.Run("any", "any", [])
        monkeypatch.setattr(every, "command_of", lambda *_, line=line: ["echo", line])
        assert every.measured(run, options) is None
    monkeypatch.setattr(every, "command_of", lambda *_: ["echo", '{"bench": "any"}'])
    result = every.measured(every.Run("any", "any", []), options)
    assert result is not None
    assert result["bench"] == "any"
