"""Counts and latencies under TensorFlow Serving's metric names, on a page for Prometheus.

Follows servables/tensorflow/util.cc and util/prometheus_exporter.cc: names keep their slashes as colons,
latencies are histograms in microseconds with buckets 10 * 1.8^n.
"""

import bisect
import contextlib
import itertools
import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any

from serving.errors import code_of

PATH = "/monitoring/prometheus/metrics"

REQUESTS = ":tensorflow:serving:request_count"
LATENCY = ":tensorflow:serving:request_latency"
RUNTIME = ":tensorflow:serving:runtime_latency"

#: Upper bounds of the latency buckets in microseconds; the last continues to infinity.
BOUNDS = tuple(10 * 1.8**power for power in range(33))

#: Series kept of each metric: names of models come from callers, and unknown ones have no end.
MAX_SERIES = 1000

#: Seconds between two writings of what a process has counted.
SHARE_SECONDS = 1.0

Labels = tuple[str, ...]

#: What tells the series of a metric apart.
LABELS = {
    REQUESTS: ("model_name", "status"),
    LATENCY: ("model_name", "API", "entrypoint"),
    RUNTIME: ("model_name", "API", "runtime"),
}


class Histogram:
    """Counts of values by bucket, with their sum."""

    def __init__(self, counts: Sequence[int] = (0,) * (len(BOUNDS) + 1), total: float = 0.0) -> None:
        self.counts, self.sum = list(counts), total

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect.bisect_right(BOUNDS, value)] += 1
        self.sum += value

    def merge(self, other: "Histogram") -> None:
        """Add another one's values."""
        self.counts = [own + more for own, more in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum


class Counts:
    """Requests and latencies by their labels."""

    def __init__(self) -> None:
        self.requests: dict[Labels, int] = {}
        self.histograms: dict[str, dict[Labels, Histogram]] = {LATENCY: {}, RUNTIME: {}}

    def count(self, labels: tuple[str, str], number: int = 1) -> None:
        """Count requests."""
        count = self.requests.get(labels)
        if count is None and len(self.requests) >= MAX_SERIES:
            labels = ("(others)", labels[1])
            count = self.requests.get(labels)
        self.requests[labels] = (count or 0) + number

    def histogram(self, name: str, labels: Labels) -> Histogram:
        """Return the histogram of a metric and labels, made if need be."""
        histogram = self.histograms[name].get(labels)
        if histogram is None:
            histogram = self.histograms[name][labels] = Histogram()
        return histogram

    def merge(self, content: dict[str, Any]) -> None:
        """Add what another process counted, as `content` wrote it."""
        for labels, number in content[REQUESTS]:
            self.count(tuple(labels), number)
        for name in self.histograms:
            for labels, counts, total in content[name]:
                self.histogram(name, tuple(labels)).merge(Histogram(counts, total))

    def content(self) -> dict[str, Any]:
        """Return everything in forms that JSON has."""
        parts = {name: _content(histograms) for name, histograms in self.histograms.items()}
        return {REQUESTS: list(self.requests.items()), **parts}

    def page(self) -> bytes:
        """Write everything in Prometheus's text format."""
        lines = [f"# TYPE {REQUESTS} counter"]
        lines += [
            f"{REQUESTS}{{{_text(REQUESTS, labels)}}} {count}" for labels, count in self.requests.items()
        ]
        for name, histograms in self.histograms.items():
            lines.append(f"# TYPE {name} histogram")
            for labels, histogram in histograms.items():
                lines += _histogram_lines(name, _text(name, labels), histogram)
        return ("\n".join(lines) + "\n").encode()


def _content(histograms: dict[Labels, Histogram]) -> list[Any]:
    return [(labels, histogram.counts, histogram.sum) for labels, histogram in histograms.items()]


class Metrics:
    """What the server has answered since it started; safe between threads.

    The processes of one server each write their counts down once a second, and every one of them adds up all
    that is written: no sum ever falls, whichever process is asked, and also when one of them has gone.

    Args:
        folder: where they write; None of a server that is one process.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._counts = Counts()
        self._closed = threading.Event()
        if folder is not None:
            threading.Thread(target=self._repeat, name="metrics", daemon=True).start()

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
            self._counts.histogram(RUNTIME, (model, api, "TF1")).add(seconds * 1e6)

    def answered(self, model: str, api: str, entrypoint: str, seconds: float) -> None:
        """Count a request that succeeded, and how long its answer took."""
        with self._lock:
            self._counts.count((model, "OK"))
            self._counts.histogram(LATENCY, (model, api, entrypoint)).add(seconds * 1e6)

    def failed(self, model: str, status: str) -> None:
        """Count a request that failed by its status."""
        with self._lock:
            self._counts.count((model, status))

    def page(self) -> bytes:
        """Write all metrics in Prometheus's text format."""
        if self._folder is None:
            with self._lock:
                return self._counts.page()
        total = Counts()
        for path in sorted(self._folder.glob("*.json")):
            total.merge(json.loads(path.read_bytes()))
        return total.page()

    def write(self) -> None:
        """Write the counts down for the other processes."""
        if self._folder is None:
            return
        with self._lock:
            content = json.dumps(self._counts.content())
        # Renamed, so that nobody reads half of it.
        aside = self._folder / f"{os.getpid()}.{id(self)}"
        aside.write_text(content)
        aside.replace(aside.with_name(f"{aside.name}.json"))

    def _repeat(self) -> None:
        while not self._closed.wait(SHARE_SECONDS):
            self.write()

    def close(self) -> None:
        """Write the counts down for the last time."""
        self._closed.set()
        with contextlib.suppress(
            OSError
        ):  # the server's other processes may have gone, and the folder with them
            self.write()


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
