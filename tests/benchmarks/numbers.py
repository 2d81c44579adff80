"""What the recipes for numbers reach: steering angles from frames, and diabetes from a table."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mean_squared_error, r2_score

from tests.benchmarks.table import SHARED, Table, machine
from tests.benchmarks.trainings import SEEDS, cell, repeated, trained

FRAMES = SHARED / "data" / "steering_sim"
WEIGHTS = SHARED / "hub" / "keras_mobilenet_v2_100" / "mobilenet_v2_100_no_top.weights.h5"


def steering() -> Table:
    """Train the steering recipe on 1,400 frames of a drive, and measure it on 400 others."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        shutil.unpack_archive(FRAMES / "frames_160x80.zip", data)
        shutil.copy(FRAMES / "angles.csv", data)
        options = ("--recipe", "steering", "--target-column", "steering")
        options += ("--set", f"model.weights={WEIGHTS}")
        rows.append(_row("steering", *repeated(Path(folder), "image-regression", data, "steering", *options)))
    columns = ("run", "test MSE", "95 % interval", "MAE", "R2", "seconds", "MSE of always 0")
    title = "Steering angles from frames, recipe steering (target MSE 0.018, aim 0.015)"
    return Table("steering", title, f"Through `servable train`; {machine()}.", columns, rows)


def _row(label: str, summary: dict, wall: float) -> tuple[str, ...]:
    metrics = summary["metrics"]
    interval = f"{metrics['test/mse_low']:.4f} to {metrics['test/mse_high']:.4f}"
    figures = (f"{metrics['test/mae']:.4f}", f"{metrics['test/r2']:.3f}", f"{wall:.0f}")
    return (label, cell(summary, "test/mse"), interval, *figures, f"{metrics['test/mse_of_zero']:.4f}")


def diabetes() -> Table:
    """Train both recipes for rows on scikit-learn's diabetes set, beside a ridge regression on its split."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "diabetes.csv"
        load_diabetes(as_frame=True, scaled=False).frame.to_csv(path, index=False)
        for seed in SEEDS:
            for recipe in ("linear", "mlp"):
                options = ("--recipe", recipe, "--seed", str(seed))
                summary, wall = trained(
                    Path(folder), "tabular-regression", path, f"{recipe}-{seed}", *options
                )
                figures = (summary["metrics"]["test/r2"], summary["metrics"]["test/mse"])
                rows.append((f"{recipe}, seed {seed}", *(f"{one:.4g}" for one in figures), f"{wall:.0f}"))
            ridge = _ridge(Path(folder) / "workspace", summary["dataset"]["fingerprint"])
            rows.append((f"ridge regression, split {seed}", *(f"{one:.4g}" for one in ridge), "-"))
    columns = ("run", "test R2", "test MSE", "seconds")
    title = "Diabetes from ten measurements (target: R2 within 0.02 of a ridge regression)"
    return Table("diabetes", title, f"Through `servable train`; {machine()}.", columns, rows)


def _ridge(workspace: Path, fingerprint: str) -> tuple[float, float]:
    """Fit scikit-learn's RidgeCV to the training and validation rows of a dataset; measure it on the test."""
    frame = pd.read_parquet(workspace / "datasets" / fingerprint / "manifest.parquet")
    inputs = np.stack([np.array(row.decode().strip().split(","), float) for row in frame["content"]])
    targets, test = np.concatenate(frame["target"].to_numpy()), (frame["split"] == "test").to_numpy()
    scaled = (inputs - inputs[~test].mean(0)) / inputs[~test].std(0)
    answers = RidgeCV(np.logspace(-3, 3, 25)).fit(scaled[~test], targets[~test]).predict(scaled[test])
    return r2_score(targets[test], answers), mean_squared_error(targets[test], answers)
