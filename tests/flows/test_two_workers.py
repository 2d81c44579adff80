"""Two processes train one model together: real ones, on free ports of loopback, by TF_CONFIG."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flows.orchestration.prefect_server import free_port
from flows.runs.directory import RunDirectory
from flows.workspace import Workspace
from serving.repository.repository import Repository
from tests import mlflow_store
from tests.conftest import ROOT
from tests.models.training import worker_training
from tests.trained import NO_SERVER_KEPT, PROGRAM, arguments, request, train

TASK = "image-classification"
#: The golden examples leave a test split of some 10: one more or less is noise.
NOISE = 0.15


def _finished(line: list[str], **environment: str) -> list[str]:
    """Run the same command as both workers; return what each printed."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PREFECT", "SERVABLE"))}
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        processes.append(
            subprocess.Popen(
                line,
                cwd=ROOT,
                env=kept | NO_SERVER_KEPT | environment | {"TF_CONFIG": json.dumps(config)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        said = [process.communicate(timeout=600) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said
    return [output for output, _ in said]


@pytest.mark.proof
def test_two_workers_move_as_one_does(tmp_path: Path) -> None:
    # Without batch norm and dropout, two shares of a batch have the gradients of the whole, but for rounding.
    line = [sys.executable, "-m", "tests.models.training.worker_training", str(tmp_path)]
    first, second = _finished(line)
    assert first == second
    (tmp_path / "alone").mkdir()
    _, history = worker_training.run(tmp_path / "alone", "none")
    one, two = (np.load(tmp_path / name / "weights.npz") for name in ("alone", "0"))
    assert one.files == two.files
    for name in one.files:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-5)
    assert json.loads(first) == pytest.approx(history.epochs[-1]["metrics"]["validation_loss"], rel=1e-4)


@pytest.mark.proof
def test_two_workers_train_one_model(tmp_path: Path) -> None:
    alone = train(TASK, tmp_path / "alone")
    workspace = tmp_path / "two" / "workspace"
    mlflow_store.database(tmp_path / "two" / "mlruns")
    wanted = request(TASK, alone.data, workspace, overrides=("training.distribution=multi_worker",))
    printed = _finished([*PROGRAM, *arguments(wanted), "--local"], SERVABLE_WORKSPACE=str(workspace))
    summary, other = map(json.loads, printed)

    assert other == {
        "model": "golden",
        "worker": 1,
        "workers": 2,
        "weights_hash": RunDirectory(Path(summary["run"])).read().weights_hash,
    }
    assert summary["dataset"] == alone.summary["dataset"]
    difference = summary["metrics"]["test/accuracy"] - alone.summary["metrics"]["test/accuracy"]
    assert abs(difference) <= NOISE
    assert Repository(Workspace.open(workspace).repository).versions("golden") == [1]
    with sqlite3.connect(Workspace.open(workspace).mlruns / "mlflow.db") as store:
        assert store.execute("select count(*) from runs").fetchone() == (1,)
