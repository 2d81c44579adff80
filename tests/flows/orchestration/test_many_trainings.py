"""Eight trainings at the same time on one SQLite file of Prefect and one of MLflow."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from flows.workspace import Workspace
from serving.repository.repository import Repository
from tests import golden, mlflow_store
from tests.conftest import ROOT
from tests.trained import NO_SERVER_KEPT, PROGRAM

TASK, COUNT = "tabular-classification", 8


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_trainings_at_the_same_time_share_sqlite(tmp_path: Path) -> None:
    """Each has data, and a Prefect server on the file, of its own, which is the hardest case."""
    data = [golden.GOLDEN[TASK](tmp_path / f"data-{number}") for number in range(COUNT)]
    store = mlflow_store.database(tmp_path / "mlruns")
    workspace = Workspace.open(tmp_path / "workspace")
    settings = [part for key in golden.SMALL[TASK] for part in ("--set", key)]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PREFECT", "SERVABLE"))}
    line = [*PROGRAM, "train", TASK, "--recipe", golden.RECIPE[TASK], *settings]
    running = [
        subprocess.Popen(
            [
                *line,
                "--data",
                str(source),
                "--name",
                f"model-{number}",
                "--workspace",
                str(workspace.root),
                "--json",
            ],
            cwd=ROOT,
            env=inherited | NO_SERVER_KEPT | {"MLFLOW_TRACKING_URI": store},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, source in enumerate(data)
    ]
    said = [process.communicate() for process in running]
    errors = "\n".join(error for _, error in said)
    assert [process.returncode for process in running] == [0] * COUNT, errors
    assert "locked" not in errors
    log = (workspace.prefect / "server.log").read_text()
    assert "database is locked" not in log, log[-4000:]
    names = {Path(json.loads(out)["release"]).parent.name for out, _ in said}
    assert len(names) == COUNT
    assert {len(Repository(workspace.repository).versions(name)) for name in names} == {1}
    place = mlflow_store.Workplace(tmp_path, store)
    assert {run.info.status for name in names for run in place.runs(name)} == {"FINISHED"}
