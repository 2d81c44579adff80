"""What the recipes reach on real data, through the command line, and how long that takes."""

import json
import shutil
import tempfile
import time
from pathlib import Path

from tests.benchmarks.features import PHOTOS, SMALL
from tests.benchmarks.table import SHARED, Table, machine
from tests.trained import command

TASK = "image-classification"
MODULE = SHARED / "hub" / "mobilenet_v2_100_224_feature_vector"


def photos() -> Table:
    """Train the frozen recipe on ants and bees twice: from nothing, and with everything cached."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(PHOTOS, Path(folder) / "data", filter="data")
        (data,) = (Path(folder) / "data").iterdir()
        rows = [
            _row(label, _train(Path(folder), data, "ants", "--set", f"model.backbone={MODULE}"))
            for label in ("first run", "second run, features cached")
        ]
    return _table("photos", "Ants and bees, recipe frozen, MobileNet V2 (target 0.94)", rows)


def from_scratch() -> Table:
    """Train the cnn recipe on 10,000 small pictures of ten classes."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(SMALL, Path(folder) / "data")
        inside = list((Path(folder) / "data").iterdir())
        data = inside[0] if len(inside) == 1 else Path(folder) / "data"
        rows = [_row("from scratch", _train(Path(folder), data, "cifar", "--recipe", "cnn"))]
    return _table("from-scratch", "CIFAR-10 subset, recipe cnn (target 0.70)", rows)


def _train(folder: Path, data: Path, name: str, *options: str) -> tuple[dict, float]:
    return trained(folder, TASK, data, name, *options)


def trained(folder: Path, task: str, data: Path, name: str, *options: str) -> tuple[dict, float]:
    """Train through the command line; give the summary and the seconds of the whole command."""
    begin = time.perf_counter()
    line = ("train", task, "--data", data, "--name", name, *options, "--json")
    done = command(*line, workspace=folder / "workspace", timeout=3600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), time.perf_counter() - begin


def _row(label: str, outcome: tuple[dict, float]) -> tuple[str, ...]:
    summary, wall = outcome
    metrics, seconds = summary["metrics"], summary["seconds"]
    interval = f"{metrics['test/accuracy_low']:.3f} to {metrics['test/accuracy_high']:.3f}"
    stages = ", ".join(f"{stage} {seconds[stage]:.1f}" for stage in seconds if stage != "total")
    return (label, f"{metrics['test/accuracy']:.4f}", interval, f"{wall:.1f}", stages)


def _table(name: str, title: str, rows: list[tuple[str, ...]]) -> Table:
    columns = ("run", "test accuracy", "95 % interval", "seconds, whole command", "seconds by stage")
    return Table(
        name, title, f"Through `servable train`, Prefect and MLflow included; {machine()}.", columns, rows
    )
