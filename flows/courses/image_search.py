"""The course of image-search: index every photo, and measure what is found."""

from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from features.datasets.dataset import Dataset
from flows.courses import gallery
from flows.orchestration import step
from flows.runs.plans.plan import Plan
from flows.runs.run import Record
from models.evaluation import uncertainty
from models.evaluation.measures import retrieval
from models.network import Network
from models.search import clustering
from models.search.ranking import USUAL
from models.tasks import image_search

#: The metric that decides.
MEASURED = "eval/precision_at_10"
#: By vectors before they are projected, and by raw pixels.
EMBEDDED, PIXELS = f"{MEASURED}_embeddings", f"{MEASURED}_pixels"
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
    projection, train = gallery.projection_of(network), dataset.frame[dataset.frame["split"] == "train"]
    if projection is not None:
        projection.fit(gallery.vectors(plan, network, train), train["label"].to_numpy(object).astype(str))
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
    shares = _precision(plan, network, dataset) if gallery.labelled(dataset) else {}
    frame = items(plan, dataset)
    least = plan.sections["model"].near_duplicate
    count, pairs = retrieval.near_duplicates(gallery.vectors(plan, network, frame), least)
    metrics = {
        "eval/items": float(len(frame)),
        "eval/recall_at_10": _recall(plan, network, dataset),
        "eval/near_duplicates": float(count),
        **{name: float(each.attrs["all"]) for name, each in shares.items()},
    }
    if MEASURED in shares:
        interval = uncertainty.of_mean(MEASURED, shares[MEASURED].attrs["each"], seed=plan.request.seed)
        metrics |= {f"{MEASURED}_low": interval.low, f"{MEASURED}_high": interval.high}
    by_label = {
        name: {str(label): float(share) for label, share in each.items()} for name, each in shares.items()
    }
    listed = pairs.head(LISTED).to_dict("records")
    gallery.measured(plan, record, metrics, {"precision": by_label, "duplicates": listed})
    return metrics


def _precision(plan: Plan, network: Network, dataset: Dataset) -> dict[str, pd.Series]:
    """Search the training split for each photo of the test split, by the model and by other means.

    Returns:
        By metric the shares by label, as `models.evaluation.measures.retrieval.precision` returns them.
    """
    frame = dataset.frame
    train, test = (frame[frame["split"] == split] for split in ("train", "test"))
    if not len(train) or not len(test):
        return {}
    ways = {MEASURED: lambda rows: gallery.searched(plan, network, rows)}
    if gallery.projection_of(network) is not None:
        ways[EMBEDDED] = lambda rows: gallery.vectors(plan, network, rows)
    ways[PIXELS] = lambda rows: gallery.pixels(plan, rows)
    labels, query_labels = (part["label"].to_numpy(object) for part in (train, test))
    return {
        name: retrieval.precision(labels, values(train), query_labels, values(test), USUAL)
        for name, values in ways.items()
    }


def _recall(plan: Plan, network: Network, dataset: Dataset) -> float:
    """Compare what the index answers with exact search, for photos of the test split."""
    frame = dataset.frame
    test = frame[frame["split"] == "test"]
    queries = gallery.searched(plan, network, (test if len(test) else frame).head(QUERIES))
    index = gallery.gallery(network)
    wide = min(USUAL, index.items)
    approximate, _ = tf.function(index.nearest, autograph=False)(tf.constant(queries), wide)
    exact, _ = retrieval.nearest(gallery.searched(plan, network, items(plan, dataset)), queries, wide)
    return retrieval.recall(np.asarray(approximate), exact)
