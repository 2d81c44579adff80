"""What is published, and moving the stable version: repository and registry always say the same."""

from typing import Any

from flows.tracking import tracking
from flows.workspace import Workspace
from serving.repository.repository import Repository

#: MLflow's name for the version that serves.
ALIAS = "champion"


def published(workspace: Workspace) -> list[dict[str, Any]]:
    """List every published version of every model with its main metric.

    Raises:
        ConfigError: MLFLOW_TRACKING_URI cannot work, so that the registry would not say the same.
    """
    tracking.tracking_uri(workspace)
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
        ConfigError: MLFLOW_TRACKING_URI cannot work; nothing is moved.
    """
    tracking.tracking_uri(workspace)
    repository = Repository(workspace.repository)
    repository.promote(model, version, reason)
    _move_alias(workspace, model, version)


def rollback(workspace: Workspace, model: str, reason: str) -> int:
    """Make the version that was stable before stable again; return it.

    Raises:
        NoInputError: there is none.
        ConfigError: MLFLOW_TRACKING_URI cannot work; nothing is moved.
    """
    tracking.tracking_uri(workspace)
    repository = Repository(workspace.repository)
    version = repository.rollback(model, reason)
    _move_alias(workspace, model, version)
    return version


def _move_alias(workspace: Workspace, model: str, version: int) -> None:
    with tracking.open_tracking(workspace) as ledger:
        ledger.promote(model, version, ALIAS)
