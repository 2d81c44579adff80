"""What the courses of image-search and image-clustering share: embed every photo once, export a gallery."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from features.datasets import feature_store
from features.datasets.dataset import Dataset
from features.images.thumbnail import Thumbnailer
from features.storage.files import write_file
from flows.console import terminal
from flows.gate import expectations
from flows.orchestration import artifacts, step
from flows.runs import networks
from flows.runs.plans.plan import Plan
from flows.runs.run import Record
from flows.steps import export as exports
from flows.steps import part_featurizer
from models.export import export as exporting
from models.network import Network
from models.search import image_embedding, ranking
from models.search.gallery import Gallery
from models.search.projection import Projection
from models.search.vector_index import unit_rows
from models.training import training

#: What the k of a request is when the three answers are compared: one row of each.
ASKED = (1, 3, 10, 1000)


def labelled(dataset: Dataset) -> bool:
    """Return whether the photos have at least two labels."""
    return len(dataset.labels) > 1


def _seen(dataset: Dataset) -> list[Any]:
    """Return what is computed for each photo besides its vector; pixels are only needed with labels."""
    return [Thumbnailer(), *([image_embedding.raw_pixels()] if labelled(dataset) else [])]


@step.step("featurize", run_name="featurize {plan.name}", retries=2)
def featurize(plan: Plan, record: Record) -> str:
    """Compute vector, thumbnail and pixels of every photo not seen before; return the folder of all."""
    dataset = record.load_dataset()
    record.networks.forget()
    network = record.networks.network(plan, dataset)
    new = len(_cache(plan, network.phases[0].stage).missing(list(dataset.frame["sha256"])))
    with part_featurizer.elsewhere(plan, record.dataset) as elsewhere:
        training.featurize(
            network,
            dataset,
            plan.workspace.features,
            progress=artifacts.report_progress,
            elsewhere=elsewhere,
        )
    if not new:
        step.reuse("the vectors of all photos")
    terminal.note(f"{new:,d} photos embedded, {dataset.frame['sha256'].nunique() - new:,d} cached")
    for stage in _seen(dataset):
        feature_store.compute(stage, dataset, _cache(plan, stage), progress=artifacts.report_progress)
    return str(plan.workspace.features)


def _cache(plan: Plan, stage: Any) -> feature_store.FeatureStore:
    return feature_store.FeatureStore(plan.workspace.features / feature_store.fingerprint(stage))


def vectors(plan: Plan, network: Network, frame: Any) -> np.ndarray:
    """Return the vectors of rows of the manifest, float32 [rows, d]."""
    return _rows(plan, network.phases[0].stage, frame)


def searched(plan: Plan, network: Network, frame: Any) -> np.ndarray:
    """Return the vectors of rows of the manifest as they are searched, projected where the model does it."""
    embeddings, projection = vectors(plan, network, frame), projection_of(network)
    return embeddings if projection is None else projection.project(embeddings)


def projection_of(network: Network) -> Projection | None:
    """Return the layer that projects vectors by labels; None where there is none."""
    layers = [layer for layer in network.model.layers if isinstance(layer, Projection)]
    return layers[0] if layers else None


def pixels(plan: Plan, frame: Any) -> np.ndarray:
    """Return the raw pixels of rows of the manifest, float32 [rows, pixels]."""
    return _rows(plan, image_embedding.raw_pixels(), frame).reshape(len(frame), -1)


def thumbnails(plan: Plan, frame: Any) -> np.ndarray:
    """Return the thumbnails of rows of the manifest, uint8 [rows, bytes]."""
    return _rows(plan, Thumbnailer(), frame)


def pictures(plan: Plan, frame: Any) -> list[bytes]:
    """Return the thumbnails of rows of the manifest as JPEG files."""
    return [row.tobytes().rstrip(b"\0") for row in thumbnails(plan, frame)]


def _rows(plan: Plan, stage: Any, frame: Any) -> np.ndarray:
    return _cache(plan, stage).gather(list(frame["sha256"]))[np.arange(len(frame))]


def gallery(network: Network) -> Gallery:
    """Return the layer that holds the items."""
    layer: Gallery = network.model.get_layer("index")
    return layer


def fill(plan: Plan, network: Network, frame: Any) -> np.ndarray:
    """Fill the gallery with the vectors and thumbnails of its items; return the normalised vectors."""
    embeddings, index = searched(plan, network, frame), gallery(network)
    index.fill(embeddings, plan.request.seed)
    index.show(thumbnails(plan, frame))
    return unit_rows(embeddings)


def is_filled(record: Record, network: Network) -> bool:
    """Return whether this run already has the gallery of this network."""
    same = record.run.read().embedding == feature_store.fingerprint(network.phases[0].stage)
    return same and record.run.weights.is_file()


def keep(record: Record, network: Network) -> str:
    """Keep a filled network in the run's folder; return its file."""
    networks.save(record.run, network)
    write_file(record.run.path / "history.json", "[]")
    embedding = feature_store.fingerprint(network.phases[0].stage)
    record.run.record(weights_hash=training.weights_hash(network.model), embedding=embedding)
    return str(record.run.weights)


def measured(plan: Plan, record: Record, metrics: dict[str, float], details: dict[str, Any]) -> None:
    """Keep what was measured: metrics by name in the run and on MLflow, details for the report."""
    record.run.evaluation.mkdir(exist_ok=True)
    write_file(record.run.evaluation / "gallery.json", json.dumps(details, indent=1))
    record.run.record(metrics=metrics)
    record.tracked.metrics(metrics, step=0)
    rows = [{"metric": name, "value": value} for name, value in sorted(metrics.items())]
    artifacts.show_table(artifacts.artifact_key("metrics", plan.name), rows, f"Tests of {plan.name}")


def details(record: Record) -> dict[str, Any]:
    """Read back what `measured` kept for the report."""
    content: dict[str, Any] = json.loads((record.run.evaluation / "gallery.json").read_text())
    return content


@step.step("export", run_name="export {plan.name}")
def export(plan: Plan, record: Record) -> str:
    """Write the candidate, and beside the run what the gallery answers to photos of the test split."""
    dataset = record.load_dataset()
    network = record.networks.trained(plan, record.run, dataset)
    raws = exports.sample(dataset, plan.gate.parity_rows)
    functions = record.networks.functions(plan, record.run, dataset)

    def answers() -> exports.Answers:
        answered = exporting.answer(functions[exporting.DEFAULT], raws)
        calls = _calls(plan, functions, raws, gallery(network))
        return ranking.settled(answered, 2 * plan.gate.parity), calls

    return exports.write_candidate(plan, record, network, raws, answers)


def _calls(
    plan: Plan, functions: dict[str, Any], raws: list[bytes], items: Gallery
) -> list[expectations.Call]:
    """Make a call of every signature beside the default one; what nearly ties may stand in any order."""
    argument = plan.task.raw.input
    few = raws[: len(ASKED)]
    search = {argument: np.array(few, object), "k": np.array(ASKED[: len(few)], np.int32)}
    ids = {"id": np.array([*items.ids.numpy()[:2], b"unknown"], object)}
    calls = [
        *exports.calls(functions, [{argument: np.array(few, object)}]),
        expectations.call("search", functions["search"], search),
        expectations.call("thumbnail", functions["thumbnail"], ids),
    ]
    within = 2 * plan.gate.parity
    return [
        expectations.Call(one.signature, one.inputs, ranking.settled(one.outputs, within)) for one in calls
    ]


def folder(record: Record, name: str) -> Path:
    """Return a folder of the run's evaluation; create it if it is missing."""
    place = record.run.evaluation / name
    place.mkdir(parents=True, exist_ok=True)
    return place
