"""Galleries: what image-search and image-clustering reach on real photos, and how long a search takes."""

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.features import PHOTOS, SMALL
from tests.benchmarks.image_classification import MODULE
from tests.benchmarks.subjects import PHOTOS as SAMPLES
from tests.benchmarks.table import Table, machine
from tests.benchmarks.trainings import trained

BACKBONE = ("--set", f"model.backbone={MODULE}")
ITEMS, QUESTIONS = 10_000, 120


def clusters() -> Table:
    """Part ants and bees by 2-means over vectors of MobileNet V2 and over raw pixels."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.unpack_archive(PHOTOS, folder / "data", filter="data")
        (data,) = (folder / "data").iterdir()
        rows = []
        for resize in ("crop", "pad", "stretch"):
            options = (*BACKBONE, "--set", "model.k=2", "--set", f"featurizer.resize={resize}")
            summary, _ = trained(folder, "image-clustering", data, f"groups-{resize}", *options)
            rows.append((f"vectors, {resize}", *_agreed(summary["metrics"], "embeddings")))
        rows.append(("raw pixels, 32 x 32", *_agreed(summary["metrics"], "pixels")))
    columns = ("2-means over", "adjusted Rand index", "NMI", "purity")
    prose = f"All 397 photos of ants and bees through `servable train image-clustering`, seed 0; {machine()}."
    return Table("clusters", "Clusters of ants and bees (target ARI 0.70)", prose, columns, rows)


def _agreed(metrics: dict[str, float], of: str) -> tuple[str, ...]:
    return tuple(f"{metrics[f'eval/{measure}_{of}']:.3f}" for measure in ("ari", "nmi", "purity"))


def neighbours() -> Table:
    """Search 10,000 small pictures for the 2,000 of the test split, exactly and by inverted lists."""
    recall = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.unpack_archive(SMALL, folder / "data")
        inside = list((folder / "data").iterdir())
        data = inside[0] if len(inside) == 1 else folder / "data"
        whole = ("--set", "model.indexed=train", "--set", "data.validation_fraction=0")
        train = (*BACKBONE, *whole)
        for label, options in (
            ("exact", ()),
            ("inverted lists", ("--set", "model.approximate_above=1000")),
        ):
            found, _ = trained(folder, "image-search", data, label.replace(" ", "-"), *train, *options)
            recall.append((label, f"{found['metrics']['eval/recall_at_10']:.4f}"))
        found, _ = trained(folder, "image-search", data, "labelled", "--recipe", "labelled", *train)
        rows = _by_class(found)
    columns = ("class", "projected by labels", "vectors", "raw pixels, 32 x 32")
    prose = (
        "CIFAR-10 subset: each of 2,000 test pictures among 10,000 training pictures, the share of its 10 "
        f"nearest that are of its class; vectors of MobileNet V2; {machine()}."
    )
    more = Table("recall", "Recall at 10 of the published index", "", ("index", "eval/recall_at_10"), recall)
    return Table("neighbours", "Neighbours of small pictures", prose, columns, rows, (more,))


def _by_class(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    measured = json.loads((Path(summary["run"]) / "evaluation" / "gallery.json").read_text())["precision"]
    names = tuple(f"eval/precision_at_10{of}" for of in ("", "_embeddings", "_pixels"))
    rows = [(label, *(f"{measured[name][label]:.3f}" for name in names)) for label in measured[names[0]]]
    return [*rows, ("all", *(f"{summary['metrics'][name]:.3f}" for name in names))]


def latency() -> Table:
    """Time searches among 10,000 items of 1,280 dimensions, with decoding and embedding and without."""
    import tensorflow as tf

    from features.images.featurizer import ImageFeaturizer
    from serving.client.client import Client
    from serving.config import Options
    from serving.server.server import Server

    query = _query()
    with tempfile.TemporaryDirectory() as name:
        base = Path(name) / "gallery"
        bare, featurizer = _exported(base / "1"), ImageFeaturizer(224, 224, resize="crop")
        with (
            Server(Options(port=0, model_name="gallery", model_base_path=base)) as server,
            Client(server.target) as client,
        ):
            asked = {"image_bytes": np.array([query], object), "k": np.array([10], np.int32)}
            embed, raw = {"image_bytes": asked["image_bytes"]}, tf.constant([query])
            timed = {
                "search, live: decode, embed, search": lambda: client.predict(
                    "gallery", asked, signature="search"
                ),
                "embed, live: decode and embed": lambda: client.predict("gallery", embed, signature="embed"),
                "decoding alone, in process": lambda: featurizer(raw),
                "search alone, in process": bare,
            }
            rows = [(label, *_percentiles(work)) for label, work in timed.items()]
    prose = (
        f"{ITEMS:,} items of 1,280 dimensions, 10 neighbours of one photo, MobileNet V2, one "
        f"caller, gRPC on the same machine; exact search (target for the search: 15 ms); {machine()}."
    )
    return Table("search", "Time of a search", prose, ("work", "p50 ms", "p99 ms"), rows)


def _query() -> bytes:
    return next(file for file in sorted(SAMPLES.iterdir()) if file.suffix == ".jpg").read_bytes()


def _exported(path: Path) -> Any:
    """Export a gallery of random vectors; give what searches it with a vector that is there already."""
    import pandas as pd
    import tensorflow as tf

    from models.export.export import export
    from models.task import Blueprint
    from models.tasks.image_search import IMAGE_SEARCH as TASK

    ids = [f"{number:064}" for number in range(ITEMS)]
    frame = pd.DataFrame({"sha256": [one[::-1] for one in ids], "name": ids, "split": "train"})
    network = TASK.build(
        Blueprint(
            rules=TASK.rules(),
            featurizer=TASK.featurizer_settings(resize="crop"),
            model=TASK.settings(backbone=str(MODULE)),
            augmentation=TASK.augmentation_settings(),
            epochs=0,
            labels=("",),
            hub=Path("hub"),
            frame=frame,
        )
    )
    index = network.model.get_layer("index")
    vectors = np.random.default_rng(0).standard_normal((ITEMS, index.dimensions), np.float32)
    index.fill(vectors)
    path.parent.mkdir(parents=True)
    export(network, TASK, ("",), path, warmup=[_query()])
    asked = tf.constant(vectors[:1])
    nearest = tf.function(lambda query: index.nearest(query, 10), autograph=False)
    return lambda: nearest(asked)[0].numpy()


def _percentiles(work: Any) -> tuple[str, str]:
    times = []
    for _ in range(QUESTIONS):
        begin = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - begin))
    return f"{np.percentile(times[20:], 50):.2f}", f"{np.percentile(times[20:], 99):.2f}"
