"""The training runs of a workspace, finished or not."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from features.errors import NoInputError
from features.names import near
from flows.runs.directory import RunDirectory
from flows.runs.state import RunState
from flows.workspace import Workspace
from serving.repository.repository import Repository


def every(workspace: Workspace, name: str | None = None) -> Iterator[tuple[str, RunDirectory]]:
    """Yield every run with the name of its model, the newest of each model first.

    Args:
        workspace: whose runs.
        name: of one model; None for all.
    """
    root = workspace.runs("")
    names = [name] if name else sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    for model in names:
        files = sorted(workspace.runs(model).glob("*/run.json"), key=lambda file: file.stat().st_mtime)
        yield from ((model, RunDirectory(file.parent)) for file in reversed(files))


def is_running(run: RunDirectory) -> bool:
    """Return whether a living process trains this run."""
    state = run.read()
    return state.state == "running" and state.pid is not None and psutil.pid_exists(state.pid)


def described(workspace: Workspace, name: str | None = None) -> list[dict[str, Any]]:
    """Describe every run: model, run, state, recipe, version, metric, value, ended, report."""
    return [_described(model, run) for model, run in every(workspace, name)]


def _described(model: str, run: RunDirectory) -> dict[str, Any]:
    state = run.read()
    recipe = state.recipe or {}
    value = state.metrics.get(state.metric or "")
    changed = datetime.fromtimestamp(run.state_file.stat().st_mtime, UTC)
    return {
        "model": model,
        "run": run.path.name,
        "state": _state(state, stale=state.state == "running" and not is_running(run)),
        "task": recipe.get("task"),
        "recipe": recipe.get("name"),
        "version": state.version or state.unchanged,
        "metric": state.metric,
        "value": None if value is None else round(value, 4),
        "changed": changed.isoformat(timespec="seconds"),
        "report": str(run.report) if run.report.is_file() else None,
    }


def _state(state: RunState, *, stale: bool) -> str:
    return "cut off" if stale else "unchanged" if state.unchanged is not None else state.state


def find(workspace: Workspace, name: str, version: int | None = None) -> RunDirectory:
    """Find the run that a model's version came from.

    Args:
        workspace: where it lies.
        name: of the model, ``MODEL/RUN``, or path of a run's folder.
        version: of the model; None for the stable one.

    Raises:
        NoInputError: there is no such model, version or run.
    """
    if "/" in name:
        for folder in (workspace.runs(name), Path(name)):
            if (folder / "run.json").is_file():
                return RunDirectory(folder)
        raise NoInputError("no such run", got=name, todo="list the runs with servable runs")
    chosen = version or Repository(workspace.repository).stable(name)
    for _, run in every(workspace, name):
        if chosen is not None and run.read().version == chosen:
            return run
    models = Repository(workspace.repository).models()
    raise NoInputError(
        "no training of a published model with this name",
        got=name if version is None else f"{name} version {version}",
        expected=f"one of {', '.join(models)}" if models else "a published model",
        todo=None if name in models else near(name, models),
    )


def report(workspace: Workspace, name: str, version: int) -> Path | None:
    """Return the report of the run that a version came from; None where either is gone."""
    try:
        path = find(workspace, name, version).report
    except NoInputError:
        return None
    return path if path.is_file() else None


def refused(workspace: Workspace, name: str) -> RunDirectory:
    """Find a run that the gate refused and whose candidate is kept.

    Args:
        workspace: where it lies.
        name: ``MODEL/RUN``; of a model alone: its newest refused run.

    Raises:
        NoInputError: there is none.
    """
    runs = [find(workspace, name)] if "/" in name else [run for _, run in every(workspace, name)]
    for run in runs:
        if (
            run.read().state == "refused"
            and (workspace.candidates / run.path.parent.name / run.path.name).is_dir()
        ):
            return run
    raise NoInputError(
        "no refused candidate", got=name, todo="list the runs with servable runs; only refused ones are kept"
    )
