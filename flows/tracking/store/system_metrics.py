"""Sample processor, memory, disk, network and GPU while a run goes on, as MLflow does for its own runs.

MLflow's monitors measure; the figures go through the spool as all others do.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

#: MLflow's own switches.
ENABLED = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
INTERVAL, SAMPLES = "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING"
PREFIX = "system/"


def enabled() -> bool:
    """Return whether the environment asks for system metrics."""
    return os.environ.get(ENABLED, "").lower() in ("true", "1")


class Sampler:
    """A thread that measures until it is stopped.

    Args:
        log: takes the metrics and their step.
        step: the first step; a resumed run goes on counting.
    """

    def __init__(self, log: Callable[[Mapping[str, float], int], None], step: int) -> None:
        self._log, self._step = log, step
        self._interval = float(os.environ.get(INTERVAL) or 10)
        self._samples = max(1, int(os.environ.get(SAMPLES) or 1))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="system metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Measure no more; returns once nothing more is written."""
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        monitors = list(_monitors())
        while True:
            for _ in range(self._samples):
                if self._ended.wait(self._interval):
                    return
                for monitor in monitors:
                    monitor.collect_metrics()
            metrics: dict[str, float] = {}
            for monitor in monitors:
                metrics |= monitor.aggregate_metrics()
                monitor.clear_metrics()
            self._log({f"{PREFIX}{name}": value for name, value in metrics.items()}, self._step)
            self._step += 1


def _monitors() -> Iterator[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    for kind in (CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor):
        try:
            yield kind()
        except (ImportError, RuntimeError):
            continue  # no GPU, or not the package that measures it
