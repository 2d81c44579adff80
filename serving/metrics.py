"""Counts and latencies under TensorFlow Serving's metric names, on a page for Prometheus.

Follows servables/tensorflow/util.cc and util/prometheus_exporter.cc: names keep their slashes as colons,
latencies are histograms in microseconds with buckets 10 * 1.8^n.
"""

import bisect
import itertools
import threading
from collections.abc import Iterator
from time import perf_counter
from types import TracebackType

from serving.errors import code_of

PATH = "/monitoring/prometheus/metrics"

REQUESTS = ":tensorflow:serving:request_count"
LATENCY = ":tensorflow:serving:request_latency"
RUNTIME = ":tensorflow:serving:runtime_latency"

#: Upper bounds of the latency buckets in microseconds; the last continues to infinity.
BOUNDS = tuple(10 * 1.8**power for power in range(33))

#: Series kept of each metric: names of models come from callers, and unknown ones have no end.
MAX_SERIES = 1000

#: What tells the series of a metric apart.
LABELS = {
    REQUESTS: ("model_name", "status"),
    LATENCY: ("model_name", "API", "entrypoint"),
    RUNTIME: ("model_name", "API", "runtime"),
}


class Histogram:
    """Counts of values by bucket, with their sum."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect.bisect_right(BOUNDS, value)] += 1
        self.sum += value


class Metrics:
    """What the server has answered since it started; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, ...], int] = {}
        self._histograms: dict[str, dict[tuple[str, ...], Histogram]] = {LATENCY: {}, RUNTIME: {}}

    def request(self, model: str, api: str, entrypoint: str) -> "_Request":
        """Return a context that counts a request and, if it succeeds, its latency.

        Args:
            model: the model's name.
            api: Predict, Classify, Regress or MultiInference.
            entrypoint: REST or GRPC.
        """
        return _Request(self, model, api, entrypoint)

    def runtime(self, model: str, api: str, seconds: float) -> None:
        """Record how long TensorFlow itself took."""
        with self._lock:
            self._add(RUNTIME, (model, api, "TF1"), seconds)

    def answered(self, model: str, api: str, entrypoint: str, seconds: float) -> None:
        """Count a request that succeeded, and how long its answer took."""
        with self._lock:
            self._count((model, "OK"))
            self._add(LATENCY, (model, api, entrypoint), seconds)

    def failed(self, model: str, status: str) -> None:
        """Count a request that failed by its status."""
        with self._lock:
            self._count((model, status))

    def _count(self, labels: tuple[str, str]) -> None:
        count = self._requests.get(labels)
        if count is None and len(self._requests) >= MAX_SERIES:
            labels = ("(others)", labels[1])
            count = self._requests.get(labels)
        self._requests[labels] = (count or 0) + 1

    def _add(self, name: str, labels: tuple[str, ...], seconds: float) -> None:
        histogram = self._histograms[name].get(labels)
        if histogram is None:
            histogram = self._histograms[name][labels] = Histogram()
        histogram.add(seconds * 1e6)

    def page(self) -> bytes:
        """Write all metrics in Prometheus's text format."""
        with self._lock:
            lines = [f"# TYPE {REQUESTS} counter"]
            lines += [
                f"{REQUESTS}{{{_text(REQUESTS, labels)}}} {count}" for labels, count in self._requests.items()
            ]
            for name, histograms in self._histograms.items():
                lines.append(f"# TYPE {name} histogram")
                for labels, histogram in histograms.items():
                    lines += _histogram_lines(name, _text(name, labels), histogram)
        return ("\n".join(lines) + "\n").encode()


class _Request:
    """The time of one request: a context manager, in a form that costs little to enter."""

    __slots__ = ("_api", "_entrypoint", "_metrics", "_model", "_started")

    def __init__(self, metrics: Metrics, model: str, api: str, entrypoint: str) -> None:
        self._metrics, self._model, self._api, self._entrypoint = metrics, model, api, entrypoint

    def __enter__(self) -> None:
        self._started = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._metrics.failed(self._model, code_of(error).name)
            return
        self._metrics.answered(self._model, self._api, self._entrypoint, perf_counter() - self._started)


def _histogram_lines(name: str, labels: str, histogram: Histogram) -> Iterator[str]:
    bounds = [f"{bound:.6g}" for bound in BOUNDS] + ["+Inf"]
    totals = list(itertools.accumulate(histogram.counts))
    for bound, total in zip(bounds, totals, strict=True):
        yield f'{name}_bucket{{{labels},le="{bound}"}} {total}'
    yield f"{name}_sum{{{labels}}} {histogram.sum:.6g}"
    yield f"{name}_count{{{labels}}} {totals[-1]}"


def _text(metric: str, values: tuple[str, ...]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(LABELS[metric], values, strict=True))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
