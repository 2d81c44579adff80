"""Cross-validation: a training for each fold, then the measure of a model that is trained on all of them."""

import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from features.datasets import dataset as datasets
from features.datasets import folds
from features.datasets.dataset import Dataset
from features.storage.files import write_file
from flows.console import terminal
from flows.orchestration import step
from flows.runs.directory import RunDirectory
from flows.runs.plans.plan import Plan
from flows.runs.run import Record, open_record
from flows.runs.state import DatasetReference
from flows.steps.evaluate import evaluate
from flows.steps.featurize import featurize
from flows.steps.train import fit


def whole_view(plan: Plan, dataset: DatasetReference) -> DatasetReference:
    """Describe the dataset of the final model: everything is trained on."""
    return _view(plan, dataset, None)


def _view(plan: Plan, dataset: DatasetReference, value: str | None) -> DatasetReference:
    fold = {"value": value, "validation": plan.rules.validation_fraction, "seed": plan.request.seed}
    whole = datasets.load(Path(dataset.directory))
    fingerprint = folds.fingerprint(whole.fingerprint, fold)
    return dataset.model_copy(update={"fold": fold, "fingerprint": fingerprint})


@step.step("cross-validate", run_name="cross-validate {plan.name}")
def cross_validate(plan: Plan, record: Record) -> dict[str, float]:
    """Train and measure a model for each fold that has none yet; keep the scores of every example.

    Each fold is an MLflow run of its own, nested under the final model's. The scores of all examples,
    each given by the model that did not see it, become the test scores of the final model.

    Returns:
        ``cv/METRIC_mean`` and ``cv/METRIC_std`` (of the sample) of the deciding metric over the folds, and
        ``cv/METRIC_fold_NAME`` of each.
    """
    whole = datasets.load(Path(record.dataset.directory))
    path = record.run.path / "folds.json"
    done: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    names = folds.values(whole)
    # A fold's run names its parent: MLflow must know that first, if it can be reached at all.
    record.tracking.drain()
    for number, name in enumerate(names, start=1):
        if name not in done:
            terminal.note(f"fold {name}, {number} of {len(names)}")
            done[name] = _fold(plan, record, name)
            write_file(path, json.dumps(done))
    _pool(record, whole, done)
    report = plan.task.objective.report
    figures = _summary(
        report.partition("/")[2], {name: fold["metrics"][report] for name, fold in done.items()}
    )
    record.run.record(cross_validation=figures)
    record.tracked.metrics(figures)
    return figures


def _fold(plan: Plan, parent: Record, name: str) -> dict[str, Any]:
    with open_record(plan, _view(plan, parent.dataset, name), parent=parent, label=f"fold {name}") as record:
        featurize(plan, record)
        fit(plan, record)
        measured = evaluate(plan, record)
        dataset = record.load_dataset()
        tested = dataset.frame.loc[dataset.frame["split"] == "test", "sha256"]
        return {"metrics": measured, "tested": list(tested), "run": str(record.run.path)}


def _pool(record: Record, whole: Dataset, done: dict[str, Any]) -> None:
    """Write the scores of all examples in the order of the dataset."""
    scores: dict[str, np.ndarray] = {}
    for fold in done.values():
        rows = np.load(RunDirectory(Path(fold["run"])).outputs, allow_pickle=False)
        scores |= dict(zip(fold["tested"], rows, strict=True))
    record.run.evaluation.mkdir(exist_ok=True)
    pooled = np.stack([scores[content] for content in whole.frame["sha256"]])
    np.save(record.run.outputs, pooled, allow_pickle=False)


def _summary(metric: str, values: dict[str, float]) -> dict[str, float]:
    each = {f"cv/{metric}_fold_{name}": value for name, value in values.items()}
    spread = statistics.stdev(values.values())
    return {f"cv/{metric}_mean": statistics.fmean(values.values()), f"cv/{metric}_std": spread} | each
