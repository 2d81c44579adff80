"""Promote and roll back: the labels of the repository first, MLflow's aliases after them."""

from typing import Any

from features.errors import UnavailableError
from flows.promotion import admission, agreement
from flows.tracking import tracking
from flows.tracking.registry import Registry
from flows.tracking.store.aliases import ALIASES
from flows.tracking.tracking import Tracking
from flows.workspace import Workspace
from serving.repository.faultpoints import fault
from serving.repository.repository import Repository


def promote(
    workspace: Workspace, model: str, version: int, reason: str, *, share: float | None = None, **more: Any
) -> None:
    """Make a version stable in the repository and champion in the registry; or canary and challenger.

    Args:
        workspace: where the model is published.
        model: its name.
        version: to promote.
        reason: kept in the history.
        share: percentage of the requests that a canary answers; None makes the version stable.
        **more: as of `Repository.promote`.

    Raises:
        NoInputError: there is no such version.
        DataError: its files were changed after publishing.
        ExportError: the gate had refused it.
        UsageError: it cannot be a canary.
        ConfigError: MLFLOW_TRACKING_URI cannot work; nothing is moved.
    """
    tracking.tracking_uri(workspace)
    repository = Repository(workspace.repository)
    admission.admit(repository.release(model, version))
    before = labels(repository, model)
    repository.promote(model, version, reason, share=share, **more)
    _move_aliases(workspace, model, before)


def rollback(workspace: Workspace, model: str, reason: str, **more: Any) -> int:
    """End the canary, or make the version that was stable before stable again; return the stable one.

    Args:
        workspace: where the model is published.
        model: its name.
        reason: kept in the history.
        **more: as of `Repository.rollback`.

    Raises:
        NoInputError: there is none.
        ConfigError: MLFLOW_TRACKING_URI cannot work; nothing is moved.
    """
    tracking.tracking_uri(workspace)
    repository = Repository(workspace.repository)
    before = labels(repository, model)
    version = repository.rollback(model, reason, **more)
    _move_aliases(workspace, model, before)
    return version


def labels(repository: Repository, model: str) -> dict[str, int | None]:
    """Return the version of each label of a model."""
    return {label: repository.labelled(model, label) for label in ALIASES}


def send_aliases(
    tracked: Tracking, repository: Repository, model: str, before: dict[str, int | None]
) -> None:
    """Let the aliases follow the labels that have moved.

    Args:
        tracked: the tracking of the workspace.
        repository: whose labels have moved.
        model: the model.
        before: its `labels` before they moved.
    """
    for label, version in labels(repository, model).items():
        if version != before[label]:
            tracked.promote(model, version, ALIASES[label])


def default_share(workspace: Workspace, model: str, version: int) -> float:
    """Return the share of a canary for which none is given."""
    return admission.rule(Repository(workspace.repository).release(model, version)).share


def _move_aliases(workspace: Workspace, model: str, before: dict[str, int | None]) -> None:
    fault("move.before_alias")
    repository = Repository(workspace.repository)
    with tracking.open_tracking(workspace) as tracked:
        send_aliases(tracked, repository, model, before)
        reached = tracked.drain() and not tracked.trouble
    if reached:
        # An alias that was moved in MLflow meanwhile is not overwritten unrecorded.
        try:
            agreement.settle(repository, Registry(workspace), [model])
        except UnavailableError:
            return
