"""The evaluate step: what the trained model is worth on the test split."""

import json

import numpy as np

from features.datasets.dataset import Dataset
from features.storage.files import write_file
from flows.orchestration import artifacts, step
from flows.runs import networks
from flows.runs.plan import Plan
from flows.runs.run import Record
from models.evaluation import classification, inference


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
        record.kept.pop("evaluation", None)
    figures = evaluation(record, dataset).metrics | record.run.read().get("cross_validation", {})
    write_file(record.run.evaluation / "metrics.json", json.dumps(figures, indent=1))
    record.run.record(metrics=figures)
    record.tracked.metrics(figures, step=0)
    rows = [{"metric": name, "value": value} for name, value in sorted(figures.items())]
    artifacts.show_table(artifacts.artifact_key("metrics", plan.name), rows, f"Test metrics of {plan.name}")
    return figures


def evaluation(record: Record, dataset: Dataset) -> classification.Evaluation:
    """Measure from the scores that the evaluate step wrote; bootstraps once in a training."""
    if "evaluation" not in record.kept:
        scores = np.load(record.run.evaluation / "scores.npy", allow_pickle=False)
        targets = dataset.measured["target"].to_numpy(np.int64)
        record.kept["evaluation"] = classification.evaluate(targets, scores, dataset.labels)
    measured: classification.Evaluation = record.kept["evaluation"]
    return measured
