"""Cross-validation through the command line: folds, nested runs, resuming, the published model."""

import csv
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from serving.repository.repository import Repository
from tests import golden, mlflow_store
from tests.conftest import ROOT
from tests.trained import NO_SERVER_KEPT, command

#: A kill in the second fold, and all folds again.
pytestmark = pytest.mark.proof
RECIPE = (*golden.SMALL["image-classification"], "training.epochs=4")


def line(data: Path) -> tuple[object, ...]:
    """Return the command line of a cross-validation over the column ``part``."""
    options = [word for override in RECIPE for word in ("--set", override)]
    wanted = ("train", "image-classification", "--data", data, "--name", "folded", "--recipe", "cnn")
    return (*wanted, *options, "--fold-column", "part", "--local", "--json")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, dict]:
    """A cross-validated training of the golden pictures in three folds, killed in the second and repeated.

    Gives its folder, its summary, and the files of the first fold at the kill with their times.
    """
    root = tmp_path_factory.mktemp("folds")
    golden.images(root / "data")
    pictures = sorted((root / "data").rglob("*.*"))
    with (root / "data.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["path", "label", "part"])
        rows.writerows(
            [f"data/{p.parent.name}/{p.name}", p.parent.name, n % 3] for n, p in enumerate(pictures)
        )
    mlflow_store.database(root / "mlruns")
    first = kill_in_second_fold(line(root / "data.csv"), root / "workspace")
    kept = {path: path.stat().st_mtime_ns for path in first.rglob("*")}
    done = command(*line(root / "data.csv"), workspace=root / "workspace")
    assert done.returncode == 0, done.stderr
    return root, json.loads(done.stdout.splitlines()[-1]), kept


def kill_in_second_fold(arguments: tuple[object, ...], workspace: Path) -> Path:
    """Start a cross-validation, kill it while its second fold trains, and give the first fold's folder."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PREFECT", "SERVABLE"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", *map(str, arguments)],
        cwd=ROOT,
        env=environment | {"SERVABLE_WORKSPACE": str(workspace)} | NO_SERVER_KEPT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (finished := list(workspace.glob("runs/folded/*/folds.json"))) or not under_way(workspace):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.kill()
    process.wait()
    (kept,) = json.loads(finished[0].read_text()).values()
    return Path(kept["run"])


def under_way(workspace: Path) -> bool:
    """Return whether a second fold has passed its first epoch."""
    return len({path.parents[2] for path in workspace.glob("runs/folded/*/checkpoints/*/0000[1-9]-*")}) == 2


def test_mean_and_deviation_are_those_of_the_folds(outcome: tuple) -> None:
    metrics = outcome[1]["metrics"]
    each = [metrics[f"cv/accuracy_fold_{fold}"] for fold in range(3)]
    assert metrics["cv/accuracy_mean"] == pytest.approx(statistics.fmean(each))
    assert metrics["cv/accuracy_std"] == pytest.approx(statistics.stdev(each))


def test_the_published_model_has_the_folds_measure(outcome: tuple) -> None:
    """Test metrics are over all examples, each scored by the model that did not see it."""
    root, summary, _ = outcome
    assert summary["metrics"]["test/examples"] == summary["dataset"]["accepted"] == 96
    sizes = [
        len(kept["tested"]) for kept in json.loads((Path(summary["run"]) / "folds.json").read_text()).values()
    ]
    each = [summary["metrics"][f"cv/accuracy_fold_{fold}"] for fold in range(3)]
    assert summary["metrics"]["test/accuracy"] == pytest.approx(np.average(each, weights=sizes))
    repository = Repository(root / "workspace" / "repository")
    assert repository.stable("folded") == summary["version"]
    page = Path(summary["report"]).read_text()
    assert "96" in page
    assert "Learning curves of the folds" in page


def test_folds_are_nested_runs(outcome: tuple) -> None:
    root, summary, _ = outcome
    with sqlite3.connect(root / "mlruns" / "mlflow.db") as store:
        parents = store.execute("select value from tags where key = 'mlflow.parentRunId'").fetchall()
        states = store.execute("select status from runs").fetchall()
    assert parents == [(summary["run_id"],)] * 3
    assert states == [("FINISHED",)] * 4


def test_a_fold_that_was_finished_before_a_kill_is_kept(outcome: tuple) -> None:
    root, summary, kept = outcome
    assert kept
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    done = json.loads((Path(summary["run"]) / "folds.json").read_text())
    assert Path(done["0"]["run"]) / "run.json" in kept
    assert len(list(root.glob("workspace/runs/folded/*/run.json"))) == 4
