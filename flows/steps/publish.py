"""The publish step: a candidate that passed the gate becomes a registered release, stable or on trial."""

import hashlib
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml

from flows.documents import model_card, provenance
from flows.documents.model_card import MODEL_CARD
from flows.gate import expectations
from flows.orchestration import step
from flows.promotion import moves
from flows.runs import run
from flows.runs.plans.plan import Plan
from flows.runs.provenance import versions
from flows.runs.run import Record
from flows.steps.evaluate import evaluation
from serving.repository.release import Describe
from serving.repository.repository import Repository
from serving.repository.statement import PROVENANCE
from serving.repository.traffic import MOST_SCORES


@step.step("publish", run_name="publish {plan.name}")
def publish(plan: Plan, record: Record) -> dict[str, Any]:
    """Publish the candidate, make it stable or the canary, register it; return version and path."""
    state = record.run.read()
    if state.release is not None:
        return {"version": state.version, "release": state.release}
    repository = Repository(plan.workspace.repository)
    before = moves.labels(repository, plan.name)
    trial = plan.canary.trial and repository.stable(plan.name) is not None
    release = repository.publish(
        plan.name,
        run.candidate(plan, record),
        manifest(plan, record),
        promote=not trial,
        texts=texts(plan, record),
    )
    if trial:
        repository.promote(plan.name, release.version, "published", share=plan.canary.share)
    record.run.record(version=release.version, release=str(release.path))
    shutil.rmtree(run.candidate(plan, record).parent, ignore_errors=True)
    examples, _ = expectations.read_expectations(run.expectations(record))
    record.tracked.register(
        release.path,
        plan.name,
        release=release.version,
        examples={plan.task.raw.input: examples[:2]},
        tags={name: f"{value:.4g}" for name, value in state.metrics.items()} | {"task": plan.request.task},
        description=without(state.absent),
        kind=plan.request.task,
        figures=list(state.metrics),
    )
    moves.send_aliases(record.tracking, repository, plan.name, before)
    return {"version": release.version, "release": str(release.path)}


def scores(record: Record) -> list[float]:
    """Return the scores of the measured examples in order; of many, as many as a trial compares."""
    if not record.run.scores.is_file():
        return []
    measured = np.load(record.run.scores, allow_pickle=False).ravel()
    finite = np.sort(measured[np.isfinite(measured)])
    places = np.linspace(0, len(finite) - 1, min(len(finite), MOST_SCORES)).round().astype(int)
    return finite[places].astype(float).round(4).tolist()


def without(absent: Mapping[str, str]) -> str:
    """Return which signatures a release has not, and why; nothing where it has all."""
    return "; ".join(f"no signature {name}: {reason}" for name, reason in sorted(absent.items()))


def texts(plan: Plan, record: Record) -> Describe:
    """Make what writes model card and provenance statement, once the release has its number."""
    dataset = record.load_dataset()
    measured = evaluation(plan, record, dataset) if plan.task.evaluator is not None else None

    def written(manifest: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, str]:
        card = model_card.text(plan, dataset.card, measured, manifest)
        hashes = {**files, MODEL_CARD: hashlib.sha256(card.encode()).hexdigest()}
        return {MODEL_CARD: card, PROVENANCE: provenance.text(manifest, hashes)}

    return written


def manifest(plan: Plan, record: Record) -> dict[str, Any]:
    """Describe a release: where it comes from, what it knows and what it is worth."""
    state = record.run.read()
    return {
        "task": plan.request.task,
        "recipe": plan.recipe,
        "recipe_yaml": yaml.safe_dump(plan.recipe, sort_keys=False),
        "seed": plan.request.seed,
        "dataset": record.dataset.described(),
        "labels": list(record.load_dataset().labels),
        "metric": plan.task.objective.report,
        "higher_is_better": plan.task.objective.higher_is_better,
        "metrics": state.metrics,
        "scores": scores(record),
        "gate": state.gate.model_dump(mode="json") if state.gate else None,
        "signatures": list(state.signatures),
        "absent": state.absent,
        "run_id": record.tracked.run_id,
        "weights_hash": state.weights_hash,
        "accepted_worse": plan.request.accept_worse,
        "origin": state.origin.model_dump(mode="json"),
        "versions": versions(),
    }
