"""How fast files are checked and decoded, against loops that do the bare minimum."""

import io
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from PIL import Image

from features.images.featurizer import ImageFeaturizer
from features.ingest.ingest import ingest as make_dataset
from features.ingest.rules import IngestRules
from features.sources.recognise import Columns
from features.spec import IMAGE
from tests.benchmarks.table import SHARED, Table, machine

PHOTOS = SHARED / "data" / "images_ants_bees" / "ants_bees_256.tar"
SMALL = SHARED / "data" / "images_cifar10" / "cifar10_12k_jpg.zip"


def best(work: Callable[[], object], rounds: int = 3) -> float:
    """Return the shortest of several durations of the same work, in seconds."""
    durations = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        durations.append(time.perf_counter() - begin)
    return min(durations)


def featurizer() -> Table:
    """Compare the featurizer in a graph with decode_jpeg and resize in tf.data."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(PHOTOS, folder, filter="data")
        raws = [path.read_bytes() for path in sorted(Path(folder).rglob("*.jpg"))][:256]
    layer = ImageFeaturizer(224, 224)

    def ours() -> None:
        for start in range(0, len(raws), 32):
            layer(tf.constant(raws[start : start + 32]))

    def bare(raw: tf.Tensor) -> tf.Tensor:
        pixels = tf.io.decode_jpeg(raw, channels=3, dct_method="INTEGER_ACCURATE")
        return tf.image.resize(pixels, [224, 224], antialias=True) / 255.0

    loop = tf.data.Dataset.from_tensor_slices(raws).map(bare, num_parallel_calls=tf.data.AUTOTUNE).batch(32)
    ours()
    mine, theirs = best(ours), best(lambda: [None for _ in loop])
    rows = [
        ("ImageFeaturizer", f"{len(raws) / mine:.0f}", f"{theirs / mine:.2f}"),
        ("bare tf.data loop", f"{len(raws) / theirs:.0f}", "1.00"),
    ]
    prose = f"256 photos of 256 pixels to 224 x 224, with format detection, limits and EXIF; {machine()}."
    return Table("featurizer", "Decoding and resizing", prose, ("way", "images a second", "ratio"), rows)


def ingest() -> Table:
    """Measure a first ingest, the same again, one with ten files more, and a plain decode of all files."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.unpack_archive(SMALL, root / "data")
        files = sorted(path for path in (root / "data").rglob("*") if path.is_file())
        plain = best(lambda: [_plain(path) for path in files], rounds=1)
        first = best(lambda: _ingest(root), rounds=1)
        again = best(lambda: _ingest(root))
        for number, path in enumerate(files[:10]):
            picture = Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            picture.save(path.with_name(f"new-{number}.png"))
        more = best(lambda: _ingest(root), rounds=1)
    thousand = len(files) / 1000
    rows = [
        ("plain Pillow decode, one process", f"{plain:.2f}", f"{plain / thousand:.3f}", "1.00"),
        (
            "first ingest: hash, check, decode, split",
            f"{first:.2f}",
            f"{first / thousand:.3f}",
            _ratio(first, plain),
        ),
        ("the same again", f"{again:.2f}", f"{again / thousand:.3f}", _ratio(again, plain)),
        ("with ten files more", f"{more:.2f}", f"{more / thousand:.3f}", _ratio(more, plain)),
    ]
    columns = ("work", "seconds", "seconds per 1,000 files", "ratio to plain decode")
    prose = f"{len(files):,} JPEG files of 32 pixels; {machine()}."
    return Table("ingest", "Ingest", prose, columns, rows)


def _plain(path: Path) -> None:
    Image.open(io.BytesIO(path.read_bytes())).convert("RGB")


def _ratio(seconds: float, plain: float) -> str:
    return f"{seconds / plain:.2f}"


def _ingest(root: Path) -> None:
    found = make_dataset(
        root / "data", raw=IMAGE, columns=Columns(), rules=IngestRules(), root=root / "datasets"
    )
    assert found.card["accepted"] > 0
