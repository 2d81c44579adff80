"""Compare a candidate with the serving version on the same test split."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from features.datasets.dataset import Dataset
from features.spec import Progress, silent
from flows.runs.plans.plan import Plan
from flows.runs.run import Record
from flows.runs.state import Check, Verdict
from models.export import export
from models.task import Task
from serving.repository.repository import Repository

#: The checks that a person may overrule.
METRIC_CHECKS = ("metric", "not worse than serving")


def metric_of_saved_model(path: Path, dataset: Dataset, task: Task) -> tuple[float | None, str]:
    """Measure a published SavedModel on a dataset's test split.

    Args:
        path: folder of the SavedModel.
        dataset: what it is measured on.
        task: what its answers mean.

    Returns:
        The metric, or None and the reason why these models cannot be compared.
    """
    values = answers_of_saved_model(path, dataset, task)
    if values is None:
        return None, "it has other labels"
    assert task.evaluator is not None, "a task without an evaluator is not compared"
    return task.evaluator.evaluate(dataset, values).metrics[task.objective.report], "measured"


def answers_of_saved_model(
    path: Path, dataset: Dataset, task: Task, progress: Progress = silent
) -> np.ndarray | None:
    """Answer a dataset's test split with a published SavedModel, as the task's evaluator reads it.

    None where the SavedModel answers with other labels than the dataset has.
    """
    answer = tf.saved_model.load(str(path)).signatures["serving_default"]
    frame = dataset.measured
    evaluator = task.evaluator
    assert evaluator is not None, "a task without an evaluator is not compared"
    parts = []
    for start in range(0, len(frame), 32):
        raws = [dataset.read(row) for row in frame.iloc[start : start + 32].itertuples()]
        outputs = answer(**{task.raw.input: tf.constant(raws)})
        parts.append({name: value.numpy() for name, value in outputs.items()})
        progress("answer", min(start + 32, len(frame)), len(frame))
    return evaluator.read(export.stacked(parts), dataset.labels)


def _serving(plan: Plan, record: Record) -> dict[str, Any] | None:
    """Describe the stable release, and its metric where it was measured on this very test split."""
    repository = Repository(plan.workspace.repository)
    stable = repository.stable(plan.name)
    if stable is None:
        return None
    release = repository.release(plan.name, stable)
    described: dict[str, Any] = {
        "version": stable,
        "path": str(release.path),
        "dataset": record.dataset.directory,
        "value": None,
    }
    if "imported" in release.manifest:
        return described | {"note": "it was imported"}
    objective = plan.task.objective
    same = release.manifest.get("dataset", {}).get("fingerprint") == record.dataset.fingerprint
    if same or objective.anywhere:
        described["value"] = release.manifest.get("metrics", {}).get(objective.report)
    if release.manifest.get("dataset", {}).get("columns") != record.dataset.columns:
        described |= {"value": None, "note": "it has other input columns"}
    elif described["value"] is None and (objective.anywhere or not objective.repeatable):
        described["note"] = (
            "it was not measured" if same or objective.anywhere else "it was measured on other data"
        )
    return described


def metric_checks(plan: Plan, request: dict[str, Any], verdict: Verdict) -> Iterator[Check]:
    """Compare the deciding metric with the floor and with the serving version's on the same test split."""
    settings, objective = plan.gate, plan.task.objective
    name, value = request["metric"]["name"], request["metric"]["value"]
    if settings.min_metric is not None:
        passed = value is not None and not objective.better(settings.min_metric, value)
        got = "not measured" if value is None else f"{value:.4f}"
        bound = "at least" if objective.higher_is_better else "at most"
        yield Check("metric", passed, f"{name} {got}", f"{bound} {settings.min_metric:.4f}")
    serving = verdict.serving
    if serving is None:
        return
    if serving["value"] is None or value is None:
        note = "the new version was not measured" if value is None else serving["note"]
        yield Check("not worse than serving", True, f"not compared: {note}", "the same measure")
        return
    worse = objective.better(serving["value"], value, settings.max_regression)
    accepted = worse and plan.request.accept_worse
    got = f"{name} {value:.4f}{' (accepted by --accept-worse)' if accepted else ''}"
    allowance = "less" if objective.higher_is_better else "plus"
    expected = (
        f"{serving['value']:.4f} of version {serving['version']}, {allowance} "
        f"at most {settings.max_regression:g}"
    )
    if worse and not accepted:
        expected += "; --accept-worse publishes it anyway"
    yield Check("not worse than serving", not worse or accepted, got, expected)
