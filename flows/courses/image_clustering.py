"""The course of image-clustering: group the photos by their vectors, and compare with labels and pixels."""

import json
from typing import Any

import numpy as np

from features.storage.files import write_file
from flows.courses import gallery
from flows.orchestration import step
from flows.runs.plans.plan import Plan
from flows.runs.run import Record
from models.evaluation import uncertainty
from models.search import clustering
from models.search.vector_index import unit_rows

#: The metric that decides, of photos with labels.
MEASURED = "eval/ari_embeddings"


@step.step("cluster", run_name="cluster {plan.name}")
def fit(plan: Plan, record: Record) -> str:
    """Find the clusters and fill the gallery; return the file of the filled network."""
    dataset = record.load_dataset()
    network = record.networks.network(plan, dataset)
    if gallery.is_filled(record, network):
        step.reuse("the clusters of a finished training")
        return str(record.run.weights)
    unit = gallery.fill(plan, network, dataset.frame)
    settings, seed = plan.sections["model"], plan.request.seed
    k, tried = (settings.k, {}) if settings.k else clustering.choose(unit, settings.most_groups, seed)
    grouped = clustering.cluster(unit, k, seed)
    network.model.get_layer("clusters").fill(grouped.centres)
    content = {"k": k, "tried": tried, "members": grouped.members.tolist()}
    write_file(record.run.path / "clusters.json", json.dumps(content))
    return gallery.keep(record, network)


def clusters(record: Record) -> dict[str, Any]:
    """Read what was found: ``k``, the silhouettes ``tried`` by k, and the ``members``, a cluster by row."""
    content: dict[str, Any] = json.loads((record.run.path / "clusters.json").read_text())
    return content


@step.step("evaluate", run_name="evaluate {plan.name}")
def evaluate(plan: Plan, record: Record) -> dict[str, float]:
    """Measure the clusters, and those of raw pixels beside them; return the metrics by name."""
    dataset = record.load_dataset()
    network = record.networks.trained(plan, record.run, dataset)
    result, seed = clusters(record), plan.request.seed
    members = np.array(result["members"])
    unit = unit_rows(gallery.vectors(plan, network, dataset.frame))
    value = clustering.silhouette(unit, members, seed)
    metrics = {"eval/clusters": float(result["k"])}
    metrics |= {"eval/silhouette": value} if value is not None else {}
    if gallery.labelled(dataset):
        from sklearn.metrics.cluster import contingency_matrix

        labels = dataset.frame["target"].to_numpy()
        raw = clustering.cluster(gallery.pixels(plan, dataset.frame), result["k"], seed)
        for name, groups in (("embeddings", members), ("pixels", raw.members)):
            agreed = clustering.agreement(labels, groups)
            metrics |= {f"eval/{measure}_{name}": share for measure, share in agreed.items()}
        interval = uncertainty.of_agreement(MEASURED, contingency_matrix(labels, members), seed=seed)
        metrics |= {f"{MEASURED}_low": interval.low, f"{MEASURED}_high": interval.high}
    gallery.measured(plan, record, metrics, {})
    return metrics
