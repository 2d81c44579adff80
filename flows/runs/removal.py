"""What can be deleted from a workspace, and deleting it: releases, runs, datasets, cached features."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.runs import listing
from flows.runs.directory import RunDirectory
from flows.tracking import tracking
from flows.workspace import Workspace
from serving.repository.repository import Repository

#: A dataset younger than this may belong to a training that is about to begin.
_YOUNG_SECONDS = 3600


@dataclass(frozen=True)
class Removable:
    """One thing that can go.

    Attributes:
        kind: release, run, candidate, dataset or features.
        name: the model with the version or run, or the folder's own name.
        path: its folder.
        size: bytes on disk.
        model: of a release.
        version: of a release.
    """

    kind: str
    name: str
    path: Path
    size: int
    model: str = ""
    version: int = 0


def prunable(
    workspace: Workspace, keep: int, name: str | None = None, *, caches: bool = False
) -> list[Removable]:
    """List what goes if each model keeps its newest versions and runs.

    Versions that are stable, were stable before, or are held by a running server stay, and so do their
    runs, runs under way, and datasets that a remaining run was trained on.

    Args:
        workspace: to look through.
        keep: how many versions of a model, and how many runs that became no version, stay.
        name: of one model; None for all.
        caches: list cached features as well; a later training computes them again.

    Raises:
        UsageError: keep is less than 1.
        NoInputError: there is no such model.
    """
    releases = list(_releases(Repository(workspace.repository), keep, name))
    gone = {(release.model, release.version) for release in releases}
    old: list[tuple[str, RunDirectory]] = []
    remaining: list[tuple[str, RunDirectory]] = []
    for model, run in listing.every(workspace):
        goes = name in (None, model) and _is_old(workspace, model, run, keep, gone)
        (old if goes else remaining).append((model, run))
    idle = not any(listing.is_running(run) for _, run in remaining)
    return [
        *releases,
        *(_sized("run", f"{model}/{run.path.name}", run.path) for model, run in old),
        *_candidates(workspace, old),
        *_datasets(workspace, [run for _, run in remaining]),
        *(_features(workspace) if caches and idle else ()),
    ]


def _releases(repository: Repository, keep: int, name: str | None) -> Iterator[Removable]:
    for model in [name] if name else repository.models():
        for version in repository.prunable(model, keep):
            path = repository.path(model, version)
            yield Removable("release", f"{model} version {version}", path, _size(path), model, version)


def _is_old(
    workspace: Workspace, model: str, run: RunDirectory, keep: int, gone: set[tuple[str, int]]
) -> bool:
    """Return whether a run can go: neither under way, nor of a version that stays, nor among the newest."""
    state = run.read()
    if listing.is_running(run):
        return False
    if state.version is not None and Repository(workspace.repository).path(model, state.version).is_dir():
        return (model, state.version) in gone
    unpublished = [each.path for _, each in listing.every(workspace, model) if each.read().version is None]
    return run.path not in unpublished[:keep]


def _candidates(workspace: Workspace, runs: list[tuple[str, RunDirectory]]) -> Iterator[Removable]:
    for model, run in runs:
        folder = workspace.candidates / model / run.path.name
        if folder.is_dir():
            yield _sized("candidate", f"{model}/{run.path.name}", folder)


def _datasets(workspace: Workspace, remaining: list[RunDirectory]) -> Iterator[Removable]:
    used = {Path(state.dataset.directory).name for run in remaining if (state := run.read()).dataset}
    for folder in sorted(workspace.datasets.iterdir()) if workspace.datasets.is_dir() else ():
        if not folder.is_dir() or folder.name.startswith(".") or folder.name in used:
            continue
        if time.time() - folder.stat().st_mtime > _YOUNG_SECONDS:
            yield _sized("dataset", folder.name, folder)


def _features(workspace: Workspace) -> Iterator[Removable]:
    for folder in sorted(workspace.features.iterdir()) if workspace.features.is_dir() else ():
        yield _sized("features", folder.name, folder)


def _sized(kind: str, name: str, path: Path) -> Removable:
    return Removable(kind, name, path, _size(path))


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def prune(workspace: Workspace, removable: list[Removable]) -> None:
    """Delete what was listed; a version that has begun to serve meanwhile stays.

    Raises:
        TemporaryError: a running server has taken a version up since.
        ConfigError: MLFLOW_TRACKING_URI cannot work; nothing is deleted.
    """
    tracking.tracking_uri(workspace)
    repository = Repository(workspace.repository)
    with tracking.open_tracking(workspace) as ledger:
        for each in removable:
            if each.kind == "release":
                repository.delete(each.model, each.version, "retention")
                ledger.withdraw(each.model, each.version)
            else:
                shutil.rmtree(each.path)


def delete(workspace: Workspace, model: str, version: int | None, reason: str) -> list[int]:
    """Delete a version of a model, or all of them, from the repository and the registry.

    Raises:
        NoInputError: there is no such model or version.
        UsageError: the version is the stable one.
        TemporaryError: a running server holds it.
        ConfigError: MLFLOW_TRACKING_URI cannot work; nothing is deleted.
    """
    tracking.tracking_uri(workspace)
    repository = Repository(workspace.repository)
    if version is None:
        versions = repository.remove(model, reason)
    else:
        repository.delete(model, version, reason)
        versions = [version]
    with tracking.open_tracking(workspace) as ledger:
        for each in versions:
            ledger.withdraw(model, each)
    return versions
