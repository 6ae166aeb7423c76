"""The metrics of a worker's processes, added up: each counts what its own rooms do."""

from collections.abc import Iterable
from threading import Lock

from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]  # by name and labels
ADDED = ("counter", "histogram")  # gauges tell of the worker and are its main process's


def own_samples() -> Samples:
    """Return the counters and histograms of this process."""
    return {
        _key(sample): sample.value
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
                metric.samples = [_plus(each, others) for each in metric.samples]
            yield metric

    def _sums(self) -> Samples:
        sums: Samples = {}
        with self._lock:
            for samples in self._reported.values():
                for key, value in samples.items():
                    sums[key] = sums.get(key, 0.0) + value
        return sums


def _key(sample: Sample) -> tuple[str, tuple[tuple[str, str], ...]]:
    return sample.name, tuple(sorted(sample.labels.items()))


def _plus(sample: Sample, others: Samples) -> Sample:
    value = sample.value + others.get(_key(sample), 0.0)
    return Sample(sample.name, sample.labels, value, sample.timestamp, sample.exemplar)
