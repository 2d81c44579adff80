"""What a version must be to serve, whoever promotes it, and the rule of its trial."""

from features.errors import ExportError
from flows.promotion.judgement import Evaluated
from flows.runs.plans.recipe import CanarySettings
from flows.runs.state import Verdict
from serving.repository.release import Release


def admit(release: Release) -> None:
    """Check that a version may serve.

    Raises:
        DataError: its files were changed after publishing.
        ExportError: the gate had refused it.
    """
    verdict = Verdict.model_validate(release.manifest.get("gate") or {})
    if refusal := verdict.refusal:
        raise ExportError(
            f"the gate refused version {release.version} of model {release.model}: {refusal.name}",
            got=refusal.got,
            expected=refusal.expected,
        )
    if "files" in release.manifest:  # a SavedModel that another tool put there has no hashes
        release.verify()


def evaluated(release: Release) -> Evaluated:
    """Return how a version did on its test examples, as far as its release says."""
    manifest = release.manifest
    metrics, name = manifest.get("metrics") or {}, manifest.get("metric")
    sign = 1 if manifest.get("higher_is_better", True) else -1
    ends = sorted(sign * metrics[key] for key in (f"{name}_low", f"{name}_high") if key in metrics)
    return Evaluated(tuple(manifest.get("scores") or ()), (ends[0], ends[1]) if len(ends) == 2 else None)


def rule(release: Release) -> CanarySettings:
    """Return the rule of a version's trial, from its recipe; the defaults where it has none."""
    recipe = release.manifest.get("recipe") or {}
    return CanarySettings.model_validate(recipe.get("canary") or {})
