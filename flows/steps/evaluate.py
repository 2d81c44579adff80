"""The evaluate step: what the trained model is worth on the test split."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from features.datasets.dataset import Dataset
from flows.runs import networks
from flows.orchestration import step
from flows.runs.plan import Plan
from flows.runs.run import Record
from flows.workspace import write_atomically
from models.evaluation import inference, classification


@step.step("evaluate", run_name="evaluate {plan.name}")
def evaluate(plan: Plan, record: Record) -> dict[str, float]:
    """Measure the model on the test split, or by its folds; return the metrics by name."""
    dataset = record.load_dataset()
    if "cross_validation" not in record.run.read():
        network = networks.trained(plan, record, dataset)
        hashes = list(dataset.measured["sha256"])
        answers = inference.outputs(network, plan.task, dataset.labels, hashes, plan.workspace.features)
        record.run.evaluation.mkdir(exist_ok=True)
        np.save(record.run.evaluation / "scores.npy", answers["scores"], allow_pickle=False)
    figures = evaluation(record, dataset).metrics | record.run.read().get("cross_validation", {})
    write_atomically(record.run.evaluation / "metrics.json", json.dumps(figures, indent=1))
    record.run.record(metrics=figures)
    record.tracked.metrics(figures, step=0)
    rows = [{"metric": name, "value": value} for name, value in sorted(figures.items())]
    step.show_table(
        step.artifact_key("metrics", plan.name), rows, f"Test metrics of {plan.name}"
    )
    return figures


def evaluation(record: Record, dataset: Dataset) -> classification.Evaluation:
    """Measure again from the scores kept by the evaluate step."""
    scores = np.load(record.run.evaluation / "scores.npy", allow_pickle=False)
    targets = dataset.measured["target"].to_numpy(np.int64)
    return classification.evaluate(targets, scores, dataset.labels)


def metric_of_saved_model(path: Path, dataset: Dataset, argument: str, name: str) -> tuple[float | None, str]:
    """Measure a published SavedModel on a dataset's test split.

    Args:
        path: folder of the SavedModel.
        dataset: what it is measured on.
        argument: name of the input of ``serving_default``.
        name: the metric, such as ``test/accuracy``.

    Returns:
        The metric, or None and the reason why the two cannot be compared.
    """
    answer = tf.saved_model.load(str(path)).signatures["serving_default"]
    frame = dataset.measured
    parts, served = [], []
    for start in range(0, len(frame), 32):
        raws = [dataset.read(row) for row in frame.iloc[start : start + 32].itertuples()]
        outputs = answer(**{argument: tf.constant(raws)})
        parts.append(outputs["scores"].numpy())
        served = [label.decode() for label in outputs["labels"].numpy()[0]]
    if sorted(served) != sorted(dataset.labels):
        return None, f"it knows other labels: {', '.join(sorted(served))[:200]}"
    order = [served.index(label) for label in dataset.labels]
    scores = np.concatenate(parts)[:, order]
    return classification.evaluate(frame["target"].to_numpy(np.int64), scores, dataset.labels).metrics[
        name
    ], "measured"
