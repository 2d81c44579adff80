"""What the recipes reach on real data, through the command line, and how long that takes."""

import shutil
import tempfile
from pathlib import Path

from tests.benchmarks.features import PHOTOS, SMALL
from tests.benchmarks.table import SHARED, Table, machine
from tests.benchmarks.trainings import cell, repeated, trained

TASK = "image-classification"
MODULE = SHARED / "hub" / "mobilenet_v2_100_224_feature_vector"
WEIGHTS = SHARED / "hub" / "keras_mobilenet_v2_100" / "mobilenet_v2_100_no_top.weights.h5"
#: Settings for photos of 32 pixels: how far they are enlarged, and how the whole network is trained.
ENLARGED = tuple(
    word
    for setting in (
        "featurizer.height=96",
        "featurizer.width=96",
        "model.mode=fine-tune",
        "model.fine_tune_epochs=8",
        "model.fine_tune_learning_rate=0.0001",
        "augmentation.flip=horizontal",
        "augmentation.translation=0.1",
        "training.optimizer=lbfgs",
    )
    for word in ("--set", setting)
)


def photos() -> Table:
    """Train the frozen recipe on ants and bees twice: from nothing, and with everything cached."""
    with tempfile.TemporaryDirectory() as folder:
        data = _ants_and_bees(folder)
        backbone = ("--set", f"model.backbone={MODULE}")
        rows = [
            _row(label, train(Path(folder), TASK, data, "ants", *backbone))
            for label, train in (("first run", repeated), ("second run, features cached", trained))
        ]
    return _table("photos", "Ants and bees, recipe frozen, MobileNet V2 (target 0.94)", rows)


def fine_tune() -> Table:
    """Train the fine-tune recipe on ants and bees."""
    with tempfile.TemporaryDirectory() as folder:
        data = _ants_and_bees(folder)
        options = ("--recipe", "fine-tune", "--set", f"model.backbone={MODULE}")
        rows = [_row("ants and bees", repeated(Path(folder), TASK, data, "tuned", *options))]
    return _table("fine-tune", "Ants and bees, recipe fine-tune, MobileNet V2 (target 0.94)", rows)


def _ants_and_bees(folder: str) -> Path:
    shutil.unpack_archive(PHOTOS, Path(folder) / "data", filter="data")
    (data,) = (Path(folder) / "data").iterdir()
    return data


def small_photos() -> Table:
    """Fine-tune a pretrained network on 10,000 small pictures of ten classes, enlarged."""
    options = ("--recipe", "keras", "--set", f"model.weights={WEIGHTS}", *ENLARGED)
    with tempfile.TemporaryDirectory() as folder:
        data = _small_pictures(folder)
        rows = [_row("fine-tuned at 96 pixels", repeated(Path(folder), TASK, data, "enlarged", *options))]
    title = "CIFAR-10 subset at 96 pixels, MobileNet V2 fine-tuned (target 0.80, aim 0.85, in 25 minutes)"
    return _table("small-photos", title, rows)


def _small_pictures(folder: str) -> Path:
    shutil.unpack_archive(SMALL, Path(folder) / "data")
    inside = list((Path(folder) / "data").iterdir())
    return inside[0] if len(inside) == 1 else Path(folder) / "data"


def from_scratch() -> Table:
    """Train the cnn recipe on 10,000 small pictures of ten classes."""
    with tempfile.TemporaryDirectory() as folder:
        data = _small_pictures(folder)
        rows = [_row("from scratch", repeated(Path(folder), TASK, data, "cifar", "--recipe", "cnn"))]
    return _table("from-scratch", "CIFAR-10 subset, recipe cnn (target 0.70)", rows)


def _row(label: str, outcome: tuple[dict, float]) -> tuple[str, ...]:
    summary, wall = outcome
    metrics, seconds = summary["metrics"], summary["seconds"]
    interval = f"{metrics['test/accuracy_low']:.3f} to {metrics['test/accuracy_high']:.3f}"
    stages = ", ".join(f"{stage} {seconds[stage]:.1f}" for stage in seconds if stage != "total")
    return (label, cell(summary, "test/accuracy"), interval, f"{wall:.1f}", stages)


def _table(name: str, title: str, rows: list[tuple[str, ...]]) -> Table:
    columns = ("run", "test accuracy", "95 % interval", "seconds, whole command", "seconds by stage")
    return Table(
        name, title, f"Through `servable train`, Prefect and MLflow included; {machine()}.", columns, rows
    )
