"""The publish step, and moving the stable version: repository and registry always say the same."""

from typing import Any

import yaml

from flows import export, orchestration, tracking
from flows.plan import Plan
from flows.record import Record, versions
from flows.workspace import Workspace
from serving.repository import Repository

ALIAS = "champion"


@orchestration.step("publish", run_name="publish {plan.name}")
def publish(plan: Plan, record: Record) -> dict[str, Any]:
    """Publish the candidate, make it stable and register it; return version and path."""
    state = record.run.read()
    if "release" in state:
        return {"version": state["version"], "release": state["release"]}
    repository = Repository(plan.workspace.repository)
    release = repository.publish(
        plan.name, export.candidate(plan, record), manifest(plan, record), promote=True
    )
    record.run.record(version=release.version, release=str(release.path))
    examples, _ = export.read_expectations(export.expectations(record))
    record.tracked.register(
        release.path,
        plan.name,
        release=release.version,
        examples={plan.task.raw.input: examples[:2]},
        tags=dict(state["metrics"]) | {"task": plan.request.task},
    )
    record.tracking.promote(plan.name, release.version, ALIAS)
    return {"version": release.version, "release": str(release.path)}


def manifest(plan: Plan, record: Record) -> dict[str, Any]:
    """Describe a release: where it comes from, what it knows and what it is worth."""
    state = record.run.read()
    return {
        "task": plan.request.task,
        "recipe": plan.recipe,
        "recipe_yaml": yaml.safe_dump(plan.recipe, sort_keys=False),
        "seed": plan.request.seed,
        "dataset": {
            k: record.dataset[k] for k in ("fingerprint", "found", "accepted", "quarantined", "skipped")
        },
        "labels": list(record.load_dataset().labels),
        "metric": plan.task.objective.report,
        "metrics": state["metrics"],
        "gate": state["gate"],
        "run_id": record.tracked.run_id,
        "weights_hash": state.get("weights_hash"),
        "accepted_worse": plan.request.accept_worse,
        "versions": versions(),
    }


def published(workspace: Workspace) -> list[dict[str, Any]]:
    """List every published version of every model with its main metric."""
    repository = Repository(workspace.repository)
    rows = []
    for model in repository.models():
        stable = repository.stable(model)
        for version in repository.versions(model):
            described = repository.release(model, version).manifest
            metric = described.get("metric")
            rows.append(
                {
                    "model": model,
                    "version": version,
                    "stable": "yes" if version == stable else None,
                    "task": described.get("task"),
                    "metric": metric,
                    "value": _rounded(described.get("metrics", {}).get(metric)),
                    "published": described.get("published_at"),
                    "run_id": described.get("run_id"),
                }
            )
    return rows


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def promote(workspace: Workspace, model: str, version: int, reason: str) -> None:
    """Make a version stable in the repository and champion in the registry.

    Raises:
        NoInputError: there is no such version.
    """
    repository = Repository(workspace.repository)
    repository.promote(model, version, reason)
    _move_alias(workspace, model, version)


def rollback(workspace: Workspace, model: str, reason: str) -> int:
    """Make the version that was stable before stable again; return it."""
    repository = Repository(workspace.repository)
    version = repository.rollback(model, reason)
    _move_alias(workspace, model, version)
    return version


def _move_alias(workspace: Workspace, model: str, version: int) -> None:
    with tracking.open_tracking(workspace) as ledger:
        ledger.promote(model, version, ALIAS)
