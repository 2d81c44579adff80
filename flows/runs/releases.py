"""What is published, and what happened to it."""

from typing import Any

from features.errors import NoInputError
from features.names import near
from flows.tracking import tracking
from flows.workspace import Workspace
from serving.repository.repository import Repository


def require(workspace: Workspace, model: str) -> None:
    """Refuse the name of a model that is not published, and suggest one that is similar.

    Raises:
        NoInputError: it is not.
    """
    models = Repository(workspace.repository).models()
    if model not in models:
        raise NoInputError(
            f"no model {model}",
            expected=f"one of {', '.join(models)}" if models else "a published model",
            todo=near(model, models) or "list the models with servable models",
        )


def stable(workspace: Workspace, model: str) -> int:
    """Return the stable version of a model.

    Raises:
        NoInputError: there is no such model, or none of its versions is stable.
    """
    require(workspace, model)
    repository = Repository(workspace.repository)
    version = repository.stable(model)
    if version is None:
        raise NoInputError(
            f"no version of {model} is stable",
            expected=f"one of {', '.join(map(str, repository.versions(model)))}",
            todo=f"name one, or make it stable with servable promote {model} VERSION",
        )
    return version


def published(workspace: Workspace) -> list[dict[str, Any]]:
    """List every published version of every model with its main metric.

    Raises:
        ConfigError: MLFLOW_TRACKING_URI cannot work, so that the registry would not say the same.
    """
    tracking.tracking_uri(workspace)
    repository = Repository(workspace.repository)
    rows = []
    for model in repository.models():
        stable, trial = repository.stable(model), repository.canary(model)
        for version in repository.versions(model):
            described = repository.release(model, version).manifest
            metric = described.get("metric")
            rows.append(
                {
                    "model": model,
                    "version": version,
                    "stable": "yes" if version == stable else None,
                    "canary": trial.share if trial is not None and version == trial.version else None,
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


def history(workspace: Workspace, model: str) -> list[dict[str, Any]]:
    """List what happened to a model's versions, oldest first; empty if there is no such model.

    Returns:
        when, who, event, label, from, to, share, why, metric, value, metrics, figures of each event.
    """
    repository = Repository(workspace.repository)
    return [_described(repository, model, event) for event in repository.history(model)]


def _described(repository: Repository, model: str, event: dict[str, Any]) -> dict[str, Any]:
    metrics = event.get("metrics") or {}
    metric = _metric(repository, model, event["version"]) if metrics else None
    return {
        "when": event["at"],
        "who": event.get("by", ""),
        "event": event["event"],
        "label": event.get("label"),
        "from": event.get("previous"),
        "to": event["version"],
        "share": event.get("share"),
        "why": event["reason"],
        "metric": metric,
        "value": _rounded(metrics.get(metric)),
        "metrics": metrics,
        "figures": event.get("figures"),
    }


def _metric(repository: Repository, model: str, version: int) -> str | None:
    """Name the main metric of a version; None where it has been deleted."""
    try:
        return repository.release(model, version).manifest.get("metric")
    except NoInputError:
        return None
