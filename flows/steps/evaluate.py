"""The evaluate step: what the trained model is worth on the test split."""

import json

import numpy as np

from features.datasets.dataset import Dataset
from features.storage.files import write_file
from flows.console import terminal
from flows.orchestration import artifacts, step
from flows.runs.plans.plan import Plan
from flows.runs.run import Record
from flows.steps import baseline
from models.evaluation import inference
from models.task import Evaluation


@step.step("evaluate", run_name="evaluate {plan.name}")
def evaluate(plan: Plan, record: Record) -> dict[str, float]:
    """Measure the model on the test split, or by its folds; return the metrics by name."""
    metrics = evaluated(record) or measure(plan, record)
    record.tracked.metrics(metrics, step=0)
    rows = [{"metric": name, "value": value} for name, value in sorted(metrics.items())]
    artifacts.show_table(artifacts.artifact_key("metrics", plan.name), rows, f"Test metrics of {plan.name}")
    return metrics


def measure(plan: Plan, record: Record) -> dict[str, float]:
    """Keep what the network answers to the test split, and the metrics; return them by name."""
    dataset = record.load_dataset()
    folded = record.run.read().cross_validation
    if folded is None:
        network = record.networks.trained(plan, record.run, dataset)
        frame = dataset.measured
        answers = inference.outputs(network, plan.task, dataset.labels, frame, plan.workspace.features)
        assert plan.task.evaluator is not None, "a task without an evaluator has a course of its own"
        record.run.evaluation.mkdir(exist_ok=True)
        outputs = plan.task.evaluator.read(answers, dataset.labels)
        assert outputs is not None, "a network is trained on the labels of its dataset"
        if "score" in answers:
            np.save(record.run.scores, answers["score"], allow_pickle=False)
        np.save(record.run.outputs, outputs, allow_pickle=False)
        record.kept.pop("evaluation", None)
    metrics = evaluation(plan, record, dataset).metrics | (folded or {})
    metrics |= baseline.measure(plan, record, dataset)
    if remark := baseline.remark(plan, metrics):
        terminal.note(f"note: {remark}")
    write_file(record.run.evaluation / "metrics.json", json.dumps(metrics, indent=1))
    record.run.record(metrics=metrics)
    return metrics


def evaluated(record: Record) -> dict[str, float]:
    """Return the metrics that this training has kept already, or reused; empty if it has none yet."""
    state = record.run.read()
    if state.metrics and record.run.outputs.is_file() and state.cross_validation is None:
        step.reuse("the scores and metrics of the test split")
        return state.metrics
    return {}


def evaluation(plan: Plan, record: Record, dataset: Dataset) -> Evaluation:
    """Measure from the outputs that the evaluate step wrote; bootstraps once in a training."""
    if "evaluation" not in record.kept:
        assert plan.task.evaluator is not None, "a task without an evaluator has a course of its own"
        outputs = np.load(record.run.outputs, allow_pickle=False)
        record.kept["evaluation"] = plan.task.evaluator.evaluate(dataset, outputs)
    measured: Evaluation = record.kept["evaluation"]
    return measured
