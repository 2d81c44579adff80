"""The step after training: whether the version in service is this very model, so that none is published."""

from collections.abc import Mapping
from typing import Any

from flows.orchestration import step
from flows.runs.plans.plan import SECTIONS, Plan
from flows.runs.run import Record
from flows.steps.publish import manifest
from flows.tracking.store.tags import DESCRIPTION_TAG
from serving.repository.release import Release
from serving.repository.repository import Repository


@step.step("unchanged", run_name="compare {plan.name} with the version in service")
def unchanged(plan: Plan, record: Record) -> int | None:
    """Return the version in service if this training made it again; None if it has to be published.

    The metrics of that version are recorded as those of the run, which they are.
    """
    if plan.request.force or record.run.read().release is not None:
        return None
    release = _in_service(plan)
    if release is None or origin(release.manifest) != origin(manifest(plan, record)):
        return None
    if any(release.damage()):  # publishing anew mends it
        return None
    metrics = release.manifest.get("metrics", {})
    step.reuse(f"version {release.version} in service is this very model")
    record.run.record(unchanged=release.version, metrics=metrics)
    record.tracked.metrics(metrics)
    record.tracked.tags(
        {
            "servable.unchanged": release.version,
            DESCRIPTION_TAG: f"Unchanged: the weights equal those of version {release.version}",
        }
    )
    return release.version


def _in_service(plan: Plan) -> Release | None:
    repository = Repository(plan.workspace.repository)
    stable = repository.stable(plan.name)
    return None if stable is None else repository.release(plan.name, stable)


def origin(manifest: Mapping[str, Any]) -> list[Any]:
    """Return what decides whether two releases are the same: data, recipe, seed, weights, libraries."""
    recipe, dataset = manifest.get("recipe") or {}, manifest.get("dataset") or {}
    return [
        *(manifest.get(name) for name in ("task", "seed", "weights_hash", "versions")),
        dataset.get("fingerprint"),
        {section: recipe.get(section) for section in SECTIONS},
    ]
