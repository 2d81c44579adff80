"""A real MLflow store for tests: a database made once and copied, and what it holds as plain data."""

import contextlib
import functools
import os
import shutil
import sqlite3
import tempfile
import uuid
from pathlib import Path
from typing import Any

from features.storage.locks import locked
from flows.tracking.store.mlflow_store import Ledger
from flows.tracking.store.tags import INTERNAL
from flows.tracking.tracking import Tracking


@functools.cache
def _template() -> Path:
    # All processes of a test run share one: its migrations take seconds.
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
    folder = Path(tempfile.gettempdir()) / f"servable-mlflow-{run}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with locked(folder / "lock"):
        if not (folder / "mlflow.db").is_file():
            Ledger(f"sqlite:///{folder / 'new.db'}", folder).client.search_experiments()
            (folder / "new.db").rename(folder / "mlflow.db")
    return folder / "mlflow.db"


def database(folder: Path) -> str:
    """Put an empty, migrated database into a folder; returns its URI."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_template(), folder / "mlflow.db")
    return f"sqlite:///{folder / 'mlflow.db'}"


#: Where MLflow's database keeps absolute paths.
PATHS = (
    *(("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location")),
    *(("model_versions", "source"), ("model_versions", "storage_location")),
)


def move(mlruns: Path, old: Path, new: Path) -> None:
    """Let a copied database lead to the copied artifacts, not to the originals."""
    with contextlib.closing(sqlite3.connect(mlruns / "mlflow.db")) as store, store:
        for table, column in PATHS:
            store.execute(f"update {table} set {column} = replace({column}, ?, ?)", (f"{old}/", f"{new}/"))


class Workplace:
    """A spool, a store and the notices of tracking, below one folder."""

    def __init__(self, folder: Path, uri: str | None = None) -> None:
        self.folder = folder
        self.uri = uri or database(folder / "mlruns")
        self.spool = folder / "spool"
        self.notices: list[str] = []

    def tracking(self, uri: str | None = None) -> Tracking:
        """Open a new Tracking, as the next process would."""
        place = self.folder / "mlruns" / "artifacts"
        return Tracking(uri or self.uri, self.spool, artifacts=place, notify=self.notices.append)

    @functools.cached_property
    def client(self) -> Any:
        """MLflow's own client of the store."""
        return Ledger(self.uri, self.folder).client

    def runs(self, experiment: str = "pets") -> list[Any]:
        """Return the runs of an experiment, the oldest first."""
        found = self.client.get_experiment_by_name(experiment)
        runs = self.client.search_runs([found.experiment_id]) if found else []
        return sorted(runs, key=lambda run: run.info.start_time)

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Return (step, value) of every stored point of a metric, in MLflow's order."""
        return [(point.step, point.value) for point in self.client.get_metric_history(run_id, metric)]

    def artifacts(self, run_id: str) -> dict[str, bytes]:
        """Return every artefact of a run by path."""
        root = Path(self.client.download_artifacts(run_id, ""))
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def snapshot(self) -> dict[str, Any]:
        """Return all that can be told of the store, without ids and modification times."""
        versions = self.client.search_model_versions()
        return {
            "runs": [self._run(run) for run in self.runs()],
            "versions": sorted((v.name, int(v.version), v.tags["servable.release"]) for v in versions),
            "aliases": [sorted(model.aliases.items()) for model in self.client.search_registered_models()],
            "logged models": len(
                self.client.search_logged_models([run.info.experiment_id for run in self.runs()[:1]])
            ),
        }

    def _run(self, run: Any) -> dict[str, Any]:
        return {
            "status": run.info.status,
            "name": run.info.run_name,
            "end": run.info.end_time,
            "params": run.data.params,
            "tags": {
                k: v.replace(run.info.run_id, "RUN")
                for k, v in run.data.tags.items()
                if not k.startswith(("servable.", INTERNAL))
            },
            "metrics": {name: self.history(run.info.run_id, name) for name in sorted(run.data.metrics)},
            "artifacts": sorted(self.artifacts(run.info.run_id)),
            "inputs": [(i.dataset.name, i.dataset.digest) for i in run.inputs.dataset_inputs],
            "outputs": len(run.outputs.model_outputs) if run.outputs else 0,
        }
