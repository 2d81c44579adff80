"""Ingest and featurize on a Dask cluster of two processes, one of which is killed in the middle of each."""

import contextvars
import os
import signal
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from distributed import LocalCluster
from distributed.diagnostics.plugin import SchedulerPlugin

from features.datasets.feature_store import FeatureStore
from features.errors import ConfigError, UsageError
from features.spread import parts
from flows import pipeline
from flows.console import terminal
from flows.orchestration import prefect_server, step, task_runners
from flows.runs.plans.request import Request
from flows.runs.run import seen
from flows.workspace import Workspace
from tests import golden, mlflow_store
from tests.trained import Trained, request

#: Examples, and parts of a stage that are done when a process is killed.
COUNT, DONE = 1500, 10


@pytest.mark.parametrize("runner", ["dusk", "tcp://", "tcp://host", "8786", "file:///tmp"])
def test_a_runner_that_is_none_is_refused(runner: str) -> None:
    with pytest.raises(UsageError, match="no such runner"):
        task_runners.check(runner)


def test_dask_needs_prefect() -> None:
    task_runners.check("threads", local=True)
    task_runners.check("dask")
    task_runners.check("tcp://127.0.0.1:8786")
    with pytest.raises(UsageError, match="--local"):
        task_runners.check("dask", local=True)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'install "servable\[dask\]"'):
        task_runners.check("dask")


def test_a_thread_sets_prefect_up_once_for_all_parts_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect import context
    from prefect.settings import PREFECT_API_URL, temporary_settings

    api = "http://127.0.0.1:9/api"
    clients: list[str] = []

    @contextmanager
    def client() -> Iterator[None]:
        clients.append("opened")
        yield
        clients.append("closed")

    monkeypatch.setattr(context, "SyncClientContext", client)
    with temporary_settings({PREFECT_API_URL: api}):
        steps = [contextvars.copy_context().run(task_runners._shared, function) for function in (len, sum)]
    prepared = task_runners._Prepared()
    outside = context.SettingsContext.get()
    for shared, function in zip((steps[0], steps[0], steps[1]), (len, len, sum), strict=True):
        assert prepared.of(shared)[1] is function
        assert context.SettingsContext.get() is outside
        inside = prepared.context.run(context.SettingsContext.get)
        assert inside.settings.api.url == api
        assert outside.settings.api.url != api
    assert clients == ["opened", "closed", "opened"]


class Killer(SchedulerPlugin):
    """Kills a process of the cluster each time so many tasks are done, and measures what travels.

    Attributes:
        lost: tasks that the process was at that was killed, at each kill.
        kept: files with verdicts at the first kill, and when they were written.
        later: the same files, when all verdicts are there.
        sizes: pickled bytes of every task.
        results: bytes of every result.
    """

    def __init__(self, scheduler: Any, moments: list[int], folder: Path) -> None:
        self._scheduler, self._moments, self._folder = scheduler, moments, folder
        self.done: Counter[str] = Counter()
        self.lost: list[int] = []
        self.kept: dict[Path, int] = {}
        self.later: dict[Path, int] = {}
        self.sizes: list[int] = []
        self.results: list[int] = []

    def transition(self, key: Any, start: str, finish: str, *args: Any, **options: Any) -> None:
        if finish == "processing":
            self.sizes.append(len(cloudpickle.dumps(self._scheduler.tasks[key].run_spec)))
        if finish != "memory":
            return
        self.done[key] += 1
        self.results.append(options.get("nbytes", 0))
        if len(self.done) in self._moments and len(self.lost) <= self._moments.index(len(self.done)):
            self.kept = self.kept or self._written()
            busy = max(self._scheduler.workers.values(), key=lambda worker: len(worker.processing))
            self.lost.append(busy.nthreads)
            os.kill(busy.pid, signal.SIGKILL)
        if len(self.done) == len(parts(COUNT)):
            self.later = self.later or self._written()

    def _written(self) -> dict[Path, int]:
        return {file: file.stat().st_mtime_ns for file in self._folder.glob("*.parts/*.verdicts")}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[str]:
    kept = dict(os.environ)
    with prefect_server.running_api(Workspace.open(tmp_path / "prefect")) as ready:
        yield ready()
    os.environ.clear()
    os.environ.update(kept)


def _train(request: Request, api: str | None) -> dict[str, Any]:
    parameters = request.as_parameters()
    with terminal.hushed(), terminal.progress_bars(quiet=True), warnings.catch_warnings(action="ignore"):
        if api is None:
            return pipeline.train_model(**parameters)
        return step.run(pipeline.train_model, parameters, api=api, name="servable-train", run_name="spread")


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore")
def test_two_processes_one_killed_give_what_one_gives(
    tmp_path: Path, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden, "PER_CLASS", COUNT // 2)
    data = golden.images(tmp_path / "data")
    trained = {}
    moments = [DONE, len(parts(COUNT)) + DONE]
    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        killer = Killer(cluster.scheduler, moments, tmp_path / "two" / "workspace" / "datasets" / ".index")
        cluster.scheduler.add_plugin(killer)
        for name, runner in (("one", "threads"), ("two", cluster.scheduler_address)):
            mlflow_store.database(tmp_path / name / "mlruns")
            wanted = request(
                "image-classification",
                data,
                tmp_path / name / "workspace",
                overrides=("training.epochs=1",),
                runner=runner,
            )
            summary = _train(wanted, api if name == "two" else None)
            trained[name] = Trained(data, Workspace.open(tmp_path / name / "workspace"), summary)
    one, two = trained["one"], trained["two"]

    assert one.summary["dataset"] == two.summary["dataset"]
    assert one.summary["dataset"]["accepted"] == COUNT
    assert one.run.read().weights_hash == two.run.read().weights_hash
    (store,) = (path.name for path in one.workspace.features.iterdir() if path.name != "fitted")
    reference = one.run.read().dataset
    assert reference is not None
    hashes = list(seen(reference).frame["sha256"])
    rows = [FeatureStore(each.workspace.features / store).gather(hashes) for each in (one, two)]
    np.testing.assert_array_equal(*(each[np.arange(COUNT)] for each in rows))

    assert len(killer.lost) == len(moments)
    assert len(killer.done) == len(parts(COUNT)) + len(parts(len(set(hashes)), 32))
    lost_files = killer.lost[0] * (parts(COUNT)[0][1])
    lost_rows = killer.lost[1] * (parts(len(set(hashes)), 32)[0][1])
    assert len(killer.kept) >= DONE
    assert len(killer.later) == len(parts(COUNT))
    assert killer.kept.items() <= killer.later.items()
    assert lost_files <= 0.05 * COUNT
    assert lost_rows <= 0.05 * COUNT
    written = [
        one for shard in FeatureStore(two.workspace.features / store)._shards() for one in shard.hashes
    ]
    assert len(written) == len(set(written))
    assert max(killer.sizes + killer.results) < task_runners.MOST_BYTES
