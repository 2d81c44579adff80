"""tabular-regression on scikit-learn's diabetes set, against a ridge regression."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score

from flows.launch import run
from flows.runs.plans.request import Request


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the 442 rows of Efron and others (2004) as they come with scikit-learn, in their own units."""
    path = tmp_path_factory.mktemp("diabetes") / "diabetes.csv"
    load_diabetes(as_frame=True, scaled=False).frame.to_csv(path, index=False)
    return path


@pytest.mark.proof
def test_diabetes_is_predicted_as_well_as_by_ridge_regression(diabetes: Path, tmp_path: Path) -> None:
    """The linear recipe; ``make evaluate`` measures both recipes on three splits."""
    request = Request(
        "tabular-regression", str(diabetes), "diabetes", "linear", workspace=str(tmp_path / "workspace")
    )
    summary = run(request, local=True)
    frame = pd.read_parquet(next((tmp_path / "workspace" / "datasets").glob("*/manifest.parquet")))
    rows = [np.array(content.decode().strip().split(","), float) for content in frame["content"]]
    inputs, targets = np.stack(rows), np.concatenate(frame["target"].to_numpy())
    test = (frame["split"] == "test").to_numpy()
    mean, deviation = inputs[~test].mean(0), inputs[~test].std(0)
    scaled = (inputs - mean) / deviation
    ridge = RidgeCV(np.logspace(-3, 3, 25)).fit(scaled[~test], targets[~test])
    expected = r2_score(targets[test], ridge.predict(scaled[test]))
    assert summary["metrics"]["test/r2"] > expected - 0.02
