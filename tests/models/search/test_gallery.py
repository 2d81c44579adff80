"""A gallery of images: what it answers, on the graph and live, against NumPy; a release as its source."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from features.datasets import dataset as datasets
from features.datasets.feature_store import FeatureStore, compute
from features.errors import ConfigError, UsageError
from features.images.featurizer import ImageFeaturizerSettings
from features.images.rules import GalleryRules
from features.images.thumbnail import Thumbnailer
from features.ingest.ingest import ingest
from features.ingest.rules import IngestRules
from features.sources.files.candidates import Columns
from features.spec import IMAGE
from flows.queries import question as predict
from flows.queries.question import Question
from models.export import export, signatures
from models.network import Network
from models.pretrained.release import ReleaseEmbedding
from models.search.vector_index import unit_rows
from models.task import Blueprint
from models.tasks.image_classification import IMAGE_CLASSIFICATION
from models.tasks.image_clustering import IMAGE_CLUSTERING
from models.tasks.image_search import IMAGE_SEARCH
from serving.client.client import Client
from serving.config import Options
from serving.server.server import Server
from tests.models import toys

#: Made once: its graph takes seconds to build.
THUMBNAILER = Thumbnailer()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> datasets.Dataset:
    """60 pictures in a folder without classes, one of them twice, with names that HTML and shells dislike."""
    root = tmp_path_factory.mktemp("photos")
    folder = root / "given"
    (folder / "2024 <b>&").mkdir(parents=True)
    for number in range(60):
        place = folder / "2024 <b>&" if number % 3 else folder
        (place / f"{number:02}'\"$.png").write_bytes(toys.picture(number % 2, number))
    (folder / "copy.png").write_bytes(toys.picture(0, 0))
    return ingested(folder, root / "datasets")


def ingested(folder: Path, root: Path, rules: IngestRules | None = None) -> datasets.Dataset:
    return ingest(folder, raw=IMAGE, columns=Columns(), rules=rules or GalleryRules(), root=root)


def blueprint(task: Any, frame: Any, backbone: str, **model: Any) -> Blueprint:
    return Blueprint(
        rules=task.rules(),
        featurizer=ImageFeaturizerSettings(),
        model=task.settings(backbone=backbone, **model),
        augmentation=task.augmentation_settings(),
        epochs=0,
        labels=("",),
        hub=Path("hub"),
        frame=frame,
    )


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(toys.save_module(tmp_path_factory.mktemp("module") / "toy", width=8))


def filled(network: Network, dataset: datasets.Dataset) -> np.ndarray:
    """Fill a network's gallery; give its vectors."""
    raws = tf.constant([dataset.read(row) for row in dataset.frame.itertuples()])
    vectors = network.embed(network.featurizer(raws)).numpy()
    index = network.model.get_layer("index")
    index.fill(vectors)
    index.show(THUMBNAILER(raws).numpy())
    return vectors


@pytest.fixture(scope="module")
def groups(photos: datasets.Dataset, module: str) -> tuple[Network, np.ndarray]:
    network = IMAGE_CLUSTERING.build(blueprint(IMAGE_CLUSTERING, photos.frame, module, k=2))
    vectors = filled(network, photos)
    network.model.get_layer("clusters").fill(unit_rows(vectors)[[0, 1]])
    return network, vectors


@pytest.fixture(scope="module")
def server(
    groups: tuple, photos: datasets.Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("groups") / "groups"
    raws = [photos.read(0)]
    export.export(groups[0], IMAGE_CLUSTERING, ("",), base / "1", warmup=raws, model_name="groups")
    with Server(Options(port=0, model_name="groups", model_base_path=base)) as running:
        yield running


def test_a_folder_without_classes_is_a_source_where_labels_are_not_needed(
    photos: datasets.Dataset, tmp_path: Path
) -> None:
    assert (photos.card["layout"], photos.card["found"], len(photos.frame)) == ("files", 61, 61)
    assert photos.labels == ("",)
    assert {"2024 <b>&/01'\"$.png", "copy.png"} <= set(photos.frame["name"])
    assert set(photos.frame["split"]) == {"train", "validation", "test"}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one.png").write_bytes(toys.picture(0, 1))
    assert len(ingested(tmp_path / "data", tmp_path / "datasets").frame) == 1
    with pytest.raises(Exception, match="not a source of examples"):
        ingested(tmp_path / "data", tmp_path / "datasets", IngestRules())


@pytest.mark.parametrize(
    ("files", "labels", "layout"),
    [
        (("a/1", "a/2", "b/3"), ("a", "b"), "class-folders"),
        (("a/1", "b/2", "3"), ("",), "files"),
        (("only/1", "only/2"), ("",), "files"),
        (("train/a/1", "train/b/2", "test/a/3", "test/b/4"), ("a", "b"), "split-folders"),
        (("train/1", "test/2"), ("",), "files"),
    ],
)
def test_folders_are_classes_where_they_hold_every_image(
    files: tuple, labels: tuple, layout: str, tmp_path: Path
) -> None:
    for number, name in enumerate(files):
        path = tmp_path / "data" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(toys.picture(0, number))
    found = ingested(tmp_path / "data", tmp_path / "datasets")
    assert (found.labels, found.card["layout"], len(found.frame)) == (labels, layout, len(files))
    bare = ingested(tmp_path / "data", tmp_path / "datasets", GalleryRules(labels="none"))
    assert (bare.labels, len(bare.frame)) == (("",), len(files))


def test_adding_photos_computes_these_alone(photos: datasets.Dataset, groups: tuple, tmp_path: Path) -> None:
    stage = groups[0].phases[0].stage
    cache = FeatureStore(tmp_path / "vectors")
    few = replace(photos, frame=photos.frame.iloc[10:])
    assert compute(stage, few, cache) == few.frame["sha256"].nunique()
    missing = photos.frame["sha256"].nunique() - few.frame["sha256"].nunique()
    assert compute(stage, photos, cache) == missing > 0
    assert compute(stage, photos, cache) == 0


def test_the_live_search_is_numpys(server: Server, groups: tuple, photos: datasets.Dataset) -> None:
    network, vectors = groups
    unit = unit_rows(vectors).astype(np.float64)
    names = photos.frame["name"].to_numpy(object)
    k = np.array([1, 4, 10, 1000, 7] * 8, np.int32)
    raws = [toys.picture(number % 2, 500 + number) for number in range(len(k))]
    queries = unit_rows(network.embed(network.featurizer(tf.constant(raws))).numpy()).astype(np.float64)
    with Client(server.target) as client:
        found = client.predict("groups", {"image_bytes": np.array(raws, object), "k": k}, signature="search")
    assert found["paths"].shape == (40, 61)  # all there are
    for row, (query, count) in enumerate(zip(queries, k, strict=True)):
        cosines = unit @ query
        wanted = np.sort(cosines)[::-1][: min(count, 61)]
        np.testing.assert_allclose(found["scores"][row, :count], wanted, atol=1e-6)
        shown = [path.decode() for path in found["paths"][row] if path]
        assert len(shown) == min(count, 61) == len(set(shown))
        # The path stands beside its own score, however ties fall.
        own = dict(zip(names, cosines, strict=True))
        np.testing.assert_allclose([own[name] for name in shown], wanted, atol=1e-6)
        assert not found["scores"][row, count:].any()


def test_of_two_copies_the_earlier_is_named_first(server: Server, photos: datasets.Dataset) -> None:
    copies = photos.frame[photos.frame["sha256"].duplicated(keep=False)]
    with Client(server.target) as client:
        asked = {"image_bytes": [toys.picture(0, 0)], "k": np.array([2], np.int32)}
        found = client.predict("groups", asked, signature="search")
        thumbnails = client.predict("groups", {"id": found["ids"][0]}, signature="thumbnail")[
            "thumbnail_bytes"
        ]
        unknown = client.predict("groups", {"id": np.array([b"?", b""], object)}, signature="thumbnail")
    assert [path.decode() for path in found["paths"][0]] == list(copies["name"])
    assert found["scores"][0] == pytest.approx([1, 1], abs=1e-6)
    assert set(found["ids"][0]) == {copies["sha256"].iloc[0][:16].encode()}
    assert thumbnails[0] == thumbnails[1] != b""
    assert tf.io.decode_jpeg(thumbnails[0]).shape == (8, 8, 3)
    assert unknown["thumbnail_bytes"].tolist() == [b"", b""]


@pytest.mark.parametrize("k", [0, -1, 1001])
def test_a_k_out_of_range_is_the_callers_fault(server: Server, k: int) -> None:
    asked = {"image_bytes": [toys.picture(0, 0)], "k": np.array([k], np.int32)}
    with Client(server.target) as client, pytest.raises(Exception, match="from 1 to 1000"):
        client.predict("groups", asked, signature="search")


def test_the_live_cluster_is_the_nearest_centre(server: Server, groups: tuple) -> None:
    network, vectors = groups
    raws = [toys.picture(number % 2, 900 + number) for number in range(35)]
    unit = unit_rows(network.embed(network.featurizer(tf.constant(raws))).numpy())
    distances = np.linalg.norm(unit[:, None] - unit_rows(vectors)[None, :2], axis=2)
    with Client(server.target) as client:
        found = client.predict("groups", {"image_bytes": np.array(raws, object)})
    np.testing.assert_array_equal(found["cluster"], distances.argmin(1))
    np.testing.assert_allclose(found["distance"], distances.min(1), atol=1e-5)
    assert found["paths"].shape == (35, 10)


def test_neighbours_are_told_and_drawn_with_no_file_of_the_data_at_hand(
    server: Server, tmp_path: Path
) -> None:
    query, out = tmp_path / "query.png", tmp_path / "neighbours.png"
    query.write_bytes(toys.picture(0, 0))
    question = Question("groups", [query], {"k": "3"})
    (answer,) = predict.answers(question, server.target, out=out)
    assert (len(answer["paths"]), answer["scores"][0]) == (3, pytest.approx(1, abs=1e-6))
    line = predict.sentence(answer)
    assert line.startswith(f"{query}: ")
    assert line.count(" 1.000") >= 2
    with Image.open(out) as drawn:
        assert drawn.width > 4 * 150
        assert len(drawn.convert("RGB").getcolors(1 << 24)) > 100
    (command,) = predict.commands(question, server.target)
    assert '"search"' in command
    (grouped,) = predict.answers(Question("groups", [query]), server.target)
    assert predict.sentence(grouped).startswith(f"{query}: cluster ")
    with pytest.raises(UsageError, match="one example"):
        list(predict.answers(Question("groups", [query, query]), server.target, out=out))
    with pytest.raises(UsageError, match="cannot be drawn"):
        list(predict.answers(Question("groups", [query], {}, "embed"), server.target, out=out))


def alone(network: Network, task: Any, path: Path) -> None:
    """Export a network with ``embed`` as its only signature."""
    embed = signatures.embed(network, task.raw, dict).get_concrete_function()
    functions = {"serving_default": embed, "embed": embed}
    export.export(network, task, toys.LABELS, path, warmup=[toys.picture(0, 0)], functions=functions)


def test_a_published_model_is_a_source_and_its_preprocessing_goes_along(
    photos: datasets.Dataset, tmp_path: Path
) -> None:
    source = toys.network()
    release = tmp_path / "pets"
    alone(source, IMAGE_CLASSIFICATION, release)
    plan = replace(
        blueprint(IMAGE_SEARCH, photos.frame, "release:pets"), release=lambda name: tmp_path / name
    )
    network = IMAGE_SEARCH.build(plan)
    raws = tf.constant([photos.read(number) for number in range(5)])
    wanted = source.embed(source.featurizer(raws)).numpy()
    vectors = network.embed(network.featurizer(raws)).numpy()
    np.testing.assert_allclose(vectors, wanted, atol=1e-6)
    alone(network, IMAGE_SEARCH, tmp_path / "gallery")
    for path in sorted(release.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    answer = tf.saved_model.load(str(tmp_path / "gallery")).signatures["embed"](image_bytes=raws)
    np.testing.assert_allclose(answer["embedding"].numpy(), wanted, atol=1e-6)


def test_a_release_without_vectors_of_images_is_refused(module: str) -> None:
    with pytest.raises(ConfigError, match="has no embeddings"):
        ReleaseEmbedding(module, "image_bytes")


def test_thumbnails_keep_the_aspect_ratio_and_never_take_too_many_bytes() -> None:
    from tests.faults.corpus import encode

    noise = np.random.default_rng(0).integers(0, 256, (300, 150, 3)).astype(np.uint8)
    files = [encode(Image.fromarray(noise), "PNG"), encode(Image.fromarray(noise[:20, :10]), "PNG")]
    found = THUMBNAILER(tf.constant(files)).numpy()
    sizes = [tf.io.decode_jpeg(row.tobytes().rstrip(b"\0")).shape for row in found]
    assert sizes == [(96, 48, 3), (20, 10, 3)]
    wide = encode(Image.fromarray(np.full((40, 200, 3), (200, 30, 90), np.uint8)), "PNG")
    (row,) = THUMBNAILER(tf.constant([wide])).numpy()
    pixels = tf.io.decode_jpeg(row.tobytes().rstrip(b"\0")).numpy()
    assert pixels.shape == (19, 96, 3)
    assert np.abs(pixels.astype(int) - (200, 30, 90)).max() <= 3
