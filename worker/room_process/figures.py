"""The metrics of a worker's processes, added up: each counts what its own rooms do."""

from collections.abc import Iterable
from threading import Lock

from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

Labels = tuple[tuple[str, str], ...]
Samples = dict[tuple[str, str, Labels], float]  # by the names of metric and sample, and labels
ADDED = ("counter", "histogram")  # gauges tell of the worker and are its main process's


def own_samples() -> Samples:
    """Return the counters and histograms of this process."""
    return {
        _key(metric, sample): sample.value
        for metric in REGISTRY.collect()
        if metric.type in ADDED
        for sample in metric.samples
        if not sample.name.endswith("_created") and sample.value
    }


class SummedFigures(Collector):
    """The metrics of this process with those that others report. Any thread."""

    def __init__(self) -> None:
        self._reported: dict[int, Samples] = {}  # by process
        self._lock = Lock()

    def report(self, process: int, samples: Samples) -> None:
        """Take the samples of a process: they count on once it has ended."""
        with self._lock:
            self._reported[process] = samples

    def collect(self) -> Iterable[Metric]:
        """Yield every metric, summed over the processes."""
        others = self._sums()
        for metric in REGISTRY.collect():
            if metric.type in ADDED:
                metric.samples = list(_summed(metric, others))
            yield metric

    def _sums(self) -> Samples:
        sums: Samples = {}
        with self._lock:
            for samples in self._reported.values():
                for key, value in samples.items():
                    sums[key] = sums.get(key, 0.0) + value
        return sums


def _key(metric: Metric, sample: Sample) -> tuple[str, str, Labels]:
    return metric.name, sample.name, tuple(sorted(sample.labels.items()))


def _summed(metric: Metric, others: Samples) -> Iterable[Sample]:
    """Yield a metric's samples with those of others, which may have labels of their own."""
    for sample in metric.samples:
        yield sample._replace(value=sample.value + others.pop(_key(metric, sample), 0.0))
    for (of_metric, name, labels), value in others.items():
        if of_metric == metric.name:
            yield Sample(name, dict(labels), value)
