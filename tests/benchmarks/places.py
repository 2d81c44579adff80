"""What the recipes for points and boxes reach on real data, and how quickly they answer."""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from serving.client.client import Client
from serving.config import Options
from serving.server.server import Server
from tests import golden
from tests.benchmarks.image_classification import MODULE
from tests.benchmarks.table import SHARED, Table, machine
from tests.benchmarks.trainings import trained

FACES, CELLS, RACCOONS = (
    SHARED / "data" / name for name in ("faces_keypoints", "detect_bccd", "detect_raccoon")
)
WEIGHTS = ("--set", f"model.weights={MODULE}")
COLUMNS = ("--input-column", "file", "--split-column", "split")
#: Share of the training set's points that are deleted, to see what missing labels cost.
DELETED = 0.3


def faces() -> Table:
    """Find 68 points in faces of people never seen: all recipes, and with labels deleted at random."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        shutil.unpack_archive(FACES / "faces_128.tar", data, filter="data")
        shutil.copy(FACES / "keypoints.csv", data)
        _without_labels(data / "keypoints.csv", data / "gaps.csv")
        runs = (
            ("default", "keypoints.csv", WEIGHTS),
            ("default, 30 % of the training labels deleted", "gaps.csv", WEIGHTS),
            ("coordinates", "keypoints.csv", ("--recipe", "coordinates", *WEIGHTS)),
            ("scratch", "keypoints.csv", ("--recipe", "scratch")),
        )
        for number, (label, table, options) in enumerate(runs):
            summary, wall = trained(
                Path(folder), "keypoint-detection", data / table, f"faces-{number}", *COLUMNS, *options
            )
            rows.append(_points(label, summary["metrics"], wall))
    rows.append(("mean shape", f"{summary['metrics']['test/mean_shape_px']:.2f}", *["-"] * 4))
    columns = ("recipe", "mean error, px", "95 % interval", "NME", "PCK 0.05", "seconds")
    title = "68 points of faces, 300 test faces (target 2.2 px, aim 1.5)"
    return Table("faces", title, f"Through `servable train`; {machine()}.", columns, rows)


def _without_labels(source: Path, target: Path) -> None:
    table, random = pd.read_csv(source), np.random.default_rng(0)
    xs = [column for column in table if column.startswith("x")]
    training = (table["split"] == "train").to_numpy()
    gone = (random.random((len(table), len(xs))) < DELETED) & training[:, None]
    for place, column in enumerate(xs):
        table.loc[gone[:, place], [column, f"y{column[1:]}"]] = np.nan
    table.to_csv(target, index=False)


def _points(label: str, metrics: dict, wall: float) -> tuple[str, ...]:
    interval = f"{metrics['test/mean_error_px_low']:.2f} to {metrics['test/mean_error_px_high']:.2f}"
    figures = (f"{metrics['test/nme']:.4f}", f"{metrics['test/pck_05']:.3f}", f"{wall:.0f}")
    return (label, f"{metrics['test/mean_error_px']:.2f}", interval, *figures)


def boxes() -> Table:
    """Find blood cells and raccoons with the default recipe."""
    rows = []
    for label, source, archive in (
        ("blood cells", CELLS, "bccd.tar"),
        ("raccoons", RACCOONS, "raccoon_416.tar"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            shutil.unpack_archive(source / archive, data, filter="data")
            shutil.copy(source / "annotations.csv", data)
            summary, wall = trained(
                Path(folder), "object-detection", data / "annotations.csv", "objects", *WEIGHTS
            )
        rows.append(_boxes(label, summary["metrics"], wall))
    title = "Boxes of blood cells and raccoons, recipe default (target AP50 0.80; aim 0.88 and 0.90)"
    return Table("boxes", title, f"Through `servable train`; {machine()}.", _BOX_COLUMNS, rows)


def shapes() -> Table:
    """Learn 40 generated pictures of one to three shapes: a detector that does not learn is noticed."""
    with tempfile.TemporaryDirectory() as folder:
        data = golden.shapes(Path(folder) / "data", images=80, side=(120, 200), fewest=1)
        table = pd.read_csv(data / "shapes.csv")
        table["split"] = np.where(table["file"].str[:3].astype(int) < 40, "train", "test")
        table.to_csv(data / "shapes.csv", index=False)
        fewer = ("--set", "training.min_steps=400")
        summary, wall = trained(Path(folder), "object-detection", data, "shapes", *fewer, *WEIGHTS)
    assert summary["metrics"]["test/map50"] >= 0.9, summary["metrics"]
    title = "40 generated pictures of shapes, measured on 40 others (target AP50 0.90)"
    prose = f"Through `servable train object-detection`, 400 steps; {machine()}."
    return Table("shapes", title, prose, _BOX_COLUMNS, [_boxes("shapes", summary["metrics"], wall)])


_BOX_COLUMNS = ("data", "AP50", "95 % interval", "AP", "AP75", "objects", "seconds")


def _boxes(label: str, metrics: dict, wall: float) -> tuple[str, ...]:
    interval = f"{metrics['test/map50_low']:.3f} to {metrics['test/map50_high']:.3f}"
    others = (f"{metrics[f'test/{name}']:.3f}" for name in ("map", "map75"))
    return (
        label,
        f"{metrics['test/map50']:.3f}",
        interval,
        *others,
        f"{metrics['test/boxes']:.0f}",
        f"{wall:.0f}",
    )


def latency() -> Table:
    """Ask a server for the boxes of photos, and the same network in process; turn by turn."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        shutil.unpack_archive(RACCOONS / "raccoon_416.tar", data, filter="data")
        shutil.copy(RACCOONS / "annotations.csv", data)
        quick = ("--set", "training.epochs=1", "--set", "training.min_steps=0", *WEIGHTS)
        summary, _ = trained(Path(folder), "object-detection", data / "annotations.csv", "objects", *quick)
        release = Path(summary["release"])
        photos = [path.read_bytes() for path in sorted(data.rglob("*.jpg"))[:40]]
        function = tf.saved_model.load(str(release)).signatures["serving_default"]
        with (
            Server(Options(port=0, model_name="objects", model_base_path=release.parent)) as server,
            Client(server.target, timeout=600) as client,
        ):
            asks = {
                "in process": lambda raws: function(image_bytes=tf.constant(raws)),
                "over gRPC": lambda raws: client.predict("objects", {"image_bytes": raws}),
            }
            rows = [_timed(label, size, ask, photos) for size in (1, 8) for label, ask in asks.items()]
    columns = ("way", "photos in a request", "photos a second", "p50, ms")
    title = "Boxes of photos, 256 x 256 on MobileNet V2: over gRPC beside the same network in process"
    return Table("places", title, f"{machine()}.", columns, rows)


def _timed(label: str, size: int, ask, photos: list[bytes]) -> tuple[str, ...]:
    batches = [photos[start : start + size] for start in range(0, len(photos), size)]
    ask(batches[0])
    seconds = []
    for batch in batches:
        begin = time.perf_counter()
        ask(batch)
        seconds.append(time.perf_counter() - begin)
    rate = len(photos) / sum(seconds)
    return (label, str(size), f"{rate:.1f}", f"{1000 * float(np.median(seconds)):.1f}")
