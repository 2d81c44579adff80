"""Cross-validation through the command line: folds, nested runs, resuming, the published model."""

import csv
import json
import sqlite3
import statistics
from pathlib import Path

import numpy as np
import pytest

from serving.repository import Repository
from tests import golden, mlflow_store
from tests.trained import command

RECIPE = (*golden.SMALL["image-classification"], "training.epochs=4")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A cross-validated training of the golden pictures in three folds."""
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
    options = [word for override in RECIPE for word in ("--set", override)]
    line = (
        "train",
        "image-classification",
        "--data",
        root / "data.csv",
        "--name",
        "folded",
        "--recipe",
        "cnn",
    )
    done = command(
        *line, *options, "--fold-column", "part", "--local", "--json", workspace=root / "workspace"
    )
    assert done.returncode == 0, done.stderr
    return root, json.loads(done.stdout.splitlines()[-1])


def test_mean_and_deviation_are_those_of_the_folds(outcome: tuple) -> None:
    metrics = outcome[1]["metrics"]
    each = [metrics[f"cv/accuracy_fold_{fold}"] for fold in range(3)]
    assert metrics["cv/accuracy_mean"] == pytest.approx(statistics.fmean(each))
    assert metrics["cv/accuracy_std"] == pytest.approx(statistics.stdev(each))


def test_the_published_model_has_the_folds_measure(outcome: tuple) -> None:
    """Test metrics are over all examples, each scored by the model that did not see it."""
    root, summary = outcome
    assert summary["metrics"]["test/examples"] == summary["dataset"]["accepted"] == 96
    sizes = [
        len(kept["tested"]) for kept in json.loads((Path(summary["run"]) / "folds.json").read_text()).values()
    ]
    each = [summary["metrics"][f"cv/accuracy_fold_{fold}"] for fold in range(3)]
    assert summary["metrics"]["test/accuracy"] == pytest.approx(np.average(each, weights=sizes))
    repository = Repository(root / "workspace" / "repository")
    assert repository.stable("folded") == summary["version"]
    assert "96" in Path(summary["report"]).read_text()


def test_folds_are_nested_runs(outcome: tuple) -> None:
    root, summary = outcome
    with sqlite3.connect(root / "mlruns" / "mlflow.db") as store:
        parents = store.execute("select value from tags where key = 'mlflow.parentRunId'").fetchall()
        states = store.execute("select status from runs").fetchall()
    assert parents == [(summary["run_id"],)] * 3
    assert states == [("FINISHED",)] * 4
