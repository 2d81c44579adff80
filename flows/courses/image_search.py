"""The course of image-search: index every photo, and measure what is found."""

from typing import Any

import numpy as np
import tensorflow as tf

from features.datasets.dataset import Dataset
from flows.courses import gallery
from flows.orchestration import step
from flows.runs.plan import Plan
from flows.runs.run import Record
from models.evaluation import retrieval
from models.network import Network
from models.search import clustering
from models.search.ranking import USUAL
from models.tasks import image_search

#: Queries that recall is measured with, at most.
QUERIES = 1000
#: Pairs of near duplicates that are listed.
LISTED = 200


@step.step("index", run_name="index {plan.name}")
def fit(plan: Plan, record: Record) -> str:
    """Fill the index with the photos' vectors; return the file of the filled network."""
    dataset = record.load_dataset()
    network = record.networks.network(plan, dataset)
    if gallery.is_filled(record, network):
        step.reuse("the index of a finished training")
        return str(record.run.weights)
    unit, clusters = gallery.fill(plan, network, items(plan, dataset)), network.model.get_layer("clusters")
    groups = min(clusters.count, clustering.different(unit))
    clusters.fill(clustering.cluster(unit, groups, plan.request.seed).centres)
    return gallery.keep(record, network)


def items(plan: Plan, dataset: Dataset) -> Any:
    """Return the rows of the manifest in the index, in its order."""
    return image_search.indexed(plan.sections["model"], dataset.frame)


@step.step("evaluate", run_name="evaluate {plan.name}")
def evaluate(plan: Plan, record: Record) -> dict[str, float]:
    """Measure precision by labels, recall and near duplicates; return the metrics by name."""
    dataset = record.load_dataset()
    network = record.networks.trained(plan, record.run, dataset)
    by_label = _precision(plan, network, dataset) if gallery.labelled(dataset) else {}
    frame = items(plan, dataset)
    least = plan.sections["model"].near_duplicate
    count, pairs = retrieval.near_duplicates(gallery.vectors(plan, network, frame), least)
    metrics = {
        "eval/items": float(len(frame)),
        "eval/recall_at_10": _recall(plan, network, dataset),
        "eval/near_duplicates": float(count),
        **{name: found.pop("") for name, found in by_label.items()},
    }
    listed = pairs.head(LISTED).to_dict("records")
    gallery.measured(plan, record, metrics, {"precision": by_label, "duplicates": listed})
    return metrics


def _precision(plan: Plan, network: Network, dataset: Dataset) -> dict[str, dict[str, float]]:
    """Search the training split for each photo of the test split, by vectors and by raw pixels.

    Returns:
        By metric the shares by label, and that of all photos under "".
    """
    frame = dataset.frame
    train, test = (frame[frame["split"] == split] for split in ("train", "test"))
    if not len(train) or not len(test):
        return {}
    found = {}
    for name, values in (
        ("eval/precision_at_10", lambda rows: gallery.vectors(plan, network, rows)),
        ("eval/precision_at_10_pixels", lambda rows: gallery.pixels(plan, rows)),
    ):
        labels, asked = train["label"].to_numpy(object), test["label"].to_numpy(object)
        shares = retrieval.precision(labels, values(train), asked, values(test), USUAL)
        found[name] = {str(label): float(share) for label, share in shares.items()} | {
            "": shares.attrs["all"]
        }
    return found


def _recall(plan: Plan, network: Network, dataset: Dataset) -> float:
    """Compare what the index answers with exact search, for photos of the test split."""
    frame = dataset.frame
    test = frame[frame["split"] == "test"]
    queries = gallery.vectors(plan, network, (test if len(test) else frame).head(QUERIES))
    index = gallery.gallery(network)
    wide = min(USUAL, index.items)
    found, _ = tf.function(index.nearest)(tf.constant(queries), wide)
    exact, _ = retrieval.nearest(gallery.vectors(plan, network, items(plan, dataset)), queries, wide)
    return retrieval.recall(np.asarray(found), exact)
