"""What the recipes for numbers reach: steering angles from frames, and diabetes from a table."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mean_squared_error, r2_score

from tests.benchmarks.image_classification import trained
from tests.benchmarks.table import SHARED, Table, machine

FRAMES = SHARED / "data" / "steering_sim"
#: Seeds that each recipe is trained with: the figure of one training says little.
SEEDS = range(3)


def steering() -> Table:
    """Train the steering recipe on 1,400 frames of a drive, and measure it on 400 others."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        shutil.unpack_archive(FRAMES / "frames_160x80.zip", data)
        shutil.copy(FRAMES / "angles.csv", data)
        for seed in SEEDS:
            options = ("--recipe", "steering", "--target-column", "steering", "--seed", str(seed))
            summary, wall = trained(Path(folder), "image-regression", data, f"steering-{seed}", *options)
            rows.append(_row(f"steering, seed {seed}", summary["metrics"], wall))
    baseline = rows[0][-1]
    columns = ("run", "test MSE", "95 % interval", "MAE", "R2", "seconds", "MSE of always 0")
    assert all(row[-1] == baseline for row in rows)
    title = "Steering angles from frames, recipe steering (target MSE 0.018, aim 0.015)"
    return Table("steering", title, f"Through `servable train`; {machine()}.", columns, rows)


def _row(label: str, metrics: dict, wall: float) -> tuple[str, ...]:
    interval = f"{metrics['test/mse_low']:.4f} to {metrics['test/mse_high']:.4f}"
    figures = (f"{metrics['test/mae']:.4f}", f"{metrics['test/r2']:.3f}", f"{wall:.0f}")
    return (label, f"{metrics['test/mse']:.4f}", interval, *figures, f"{metrics['test/mse_of_zero']:.4f}")


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
