"""The figures of a worker's processes as one: what is added up, and what is not."""

import importlib
from collections.abc import Generator

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from worker.room_process import figures
from worker.room_process.figures import SummedFigures, own_samples


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Generator[CollectorRegistry]:
    """Give the process figures of its own."""
    registry = CollectorRegistry()
    monkeypatch.setattr(figures, "REGISTRY", registry)
    yield registry


def shown(summed: SummedFigures) -> dict[str, float]:
    """Return what `/metrics` shows, by name and labels."""
    text = generate_latest(summed).decode()
    return {
        f"{sample.name}{list(sample.labels.values())}".removesuffix("[]"): sample.value
        for metric in text_string_to_metric_families(text)
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


def test_counters_and_histograms_are_added_up(registry: CollectorRegistry) -> None:
    """A counter, and each bucket, sum and count of a histogram, is the sum over all processes."""
    Counter("gaps", "Gaps", registry=registry).inc(2)
    turns = Histogram("turns", "Turns", buckets=(1.0, 2.0), registry=registry)
    turns.observe(0.5)
    turns.observe(1.5)
    summed, others = SummedFigures(), own_samples()
    summed.report(1, others)
    summed.report(2, others)

    assert shown(summed) == {
        "gaps_total": 6.0,
        "turns_bucket['1.0']": 3.0,
        "turns_bucket['2.0']": 6.0,
        "turns_bucket['+Inf']": 6.0,
        "turns_count": 6.0,
        "turns_sum": 6.0,
    }


def test_gauges_are_the_main_processes(registry: CollectorRegistry) -> None:
    """A gauge shows what the main process set, whatever others report."""
    Gauge("rooms", "Rooms", registry=registry).set(3)
    summed = SummedFigures()
    summed.report(1, {("rooms", "rooms", ()): 5.0})

    assert own_samples() == {}
    assert shown(summed) == {"rooms": 3.0}


def test_labels_that_only_another_process_counted_are_shown(registry: CollectorRegistry) -> None:
    """A counter has the labels of all processes, also those that the main one never counted."""
    unread = Counter("unread", "Unread", ["kind"], registry=registry)
    unread.labels("stream").inc()
    summed = SummedFigures()
    summed.report(1, {("unread", "unread_total", (("kind", "packet"),)): 4.0})
    summed.report(2, {("unread", "unread_total", (("kind", "packet"),)): 1.0})

    assert shown(summed) == {"unread_total['stream']": 1.0, "unread_total['packet']": 5.0}


def test_a_process_that_ended_counts_on(registry: CollectorRegistry) -> None:
    """A later report of a process replaces its earlier one; the last of an ended one stays."""
    Counter("gaps", "Gaps", registry=registry)
    summed, key = SummedFigures(), ("gaps", "gaps_total", ())
    for process, value in ((1, 2.0), (1, 5.0), (2, 1.0)):
        summed.report(process, {key: value})

    assert shown(summed) == {"gaps_total": 6.0}
    assert shown(summed) == {"gaps_total": 6.0}


def test_the_workers_own_figures_can_be_read() -> None:
    """Everything that a worker's processes count is readable as Prometheus' text."""
    importlib.import_module("worker.room_process.process")  # makes the metrics of rooms
    summed, before = SummedFigures(), own_samples()
    summed.report(1, before)
    read = shown(summed)

    assert {"moshi_voice_gaps_total", "moshi_turn_seconds_count", "moshi_rooms"} <= read.keys()
