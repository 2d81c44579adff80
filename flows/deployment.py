"""The Prefect flow objects that prefect.yaml and scheduled deployments name as their entry points.

There is one for each task, such as ``train_image_classification``, whose form has the recipes of that task.
"""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

from flows.console import quiet, streams
from flows.orchestration import outcome, step
from flows.runs.plans.form import (
    TASK_NAMES,
    Examples,
    Hours,
    ModelName,
    Override,
    RecipeName,
    Seed,
    Share,
    TableColumns,
    TaskName,
    Threshold,
    choices,
)
from flows.scheduling.retraining import COOLDOWN, Policy
from flows.scheduling.schedules import MONITORING, TRAINING
from flows.workspace import Workspace
from serving.engine import startup

startup.prepare()
with quiet.native_stderr():
    from flows import pipeline
    from flows.monitoring import scheduled
    from flows.monitoring.monitor import MOST, Watch
    from models.monitoring.shifts import ALPHA, EFFECT


if outcome.scheduled():
    # Ctrl-C ends the worker, which then asks each training once: a second signal would end it at once.
    os.setpgid(0, 0)
    streams.outlive_readers()


@contextmanager
def _told() -> Iterator[None]:
    """Leave word for the worker of how the run ended."""
    try:
        yield
    except BaseException as error:
        outcome.write_error(error)
        raise


def _train(
    task: TaskName,
    data: str,
    name: ModelName,
    recipe: RecipeName | None = None,
    recipe_file: str | None = None,
    overrides: list[Override] | None = None,
    columns: TableColumns | None = None,
    seed: Seed = 0,
    accept_worse: bool = False,
    restart: bool = False,
    force: bool = False,
    workspace: str = "workspace",
    runner: str = "threads",
) -> dict[str, Any]:
    """Train, check and publish one model.

    Args:
        task: Kind of the model.
        data: Folder, table or archive of examples, as the worker sees it.
        name: Name of the model.
        recipe: What is trained; empty for the task's default.
        recipe_file: YAML file of a recipe of your own, instead of a named one.
        overrides: Settings of the recipe to change, as KEY=VALUE.
        columns: Columns of a table.
        seed: Random seed.
        accept_worse: Publish even if worse than the version in service.
        restart: Train again instead of resuming, or reusing, an earlier run.
        force: Publish even if data, recipe, seed and weights are those of the version in service.
        workspace: Folder of all output files.
        runner: Where ingest and featurize run: threads, dask, or the address of a Dask scheduler.

    Returns:
        The summary that ``servable train --json`` prints.
    """
    with _told():
        summary = pipeline.train_model(
            task,
            data,
            name,
            recipe_file or recipe,
            overrides,
            columns.named() if columns else None,
            seed,
            accept_worse,
            restart,
            force,
            workspace,
            runner,
        )
    outcome.write(0, "done")
    return summary


def _monitor(
    name: ModelName,
    data: str,
    version: int | None = None,
    input_column: str | None = None,
    alpha: Share = ALPHA,
    effect: Threshold = EFFECT,
    most: Examples = MOST,
    retrain: bool = False,
    cooldown: Hours = COOLDOWN,
    deployment: str | None = None,
    workspace: str = "workspace",
) -> dict[str, Any]:
    """Compare live inputs and answers of a model with its training examples.

    Args:
        name: Name of the model.
        data: Folder, table, archive or request log of live inputs, as the worker sees it.
        version: Version of the model; empty for the stable one.
        input_column: Column of a table with the texts or the paths of files.
        alpha: Probability of any false alarm, at most.
        effect: Smallest PSI that counts as drift.
        most: Live examples that are looked at; of a request log the latest.
        retrain: Start a training where there is drift.
        cooldown: Hours after the begin of a training in which none is started.
        deployment: Deployment that is started, as FLOW/NAME; empty for the model's own.
        workspace: Folder of all output files.

    Returns:
        What ``servable monitor --json`` prints.
    """
    watched = Watch(name, data, version, input_column, alpha, effect, most)
    policy = Policy(cooldown, deployment) if retrain else None
    with _told():
        found = scheduled.watch(Workspace.existing(Path(workspace)), watched, policy)
    outcome.write(0, found["verdict"])
    return found


def _training(function: Callable) -> Any:
    return step.as_flow(function, name=TRAINING, run_name="{name} {task}: scheduled training")


@functools.cache
def _training_of(task: str) -> Any:
    """Return the flow of one task: the same function, which takes that task and its recipes alone."""
    narrowed = FunctionType(_train.__code__, _train.__globals__, _train.__name__, _train.__defaults__)
    narrowed.__module__, narrowed.__doc__ = _train.__module__, _train.__doc__
    narrowed.__annotations__ = _train.__annotations__ | choices(task)
    return _training(narrowed)


def __getattr__(name: str) -> Any:
    """Return the flow of the task that a name ends in, such as ``train_image_classification``."""
    for task in TASK_NAMES:
        if name == f"train_{task.replace('-', '_')}":
            return _training_of(task)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


#: For any task.
train_model = _training(_train)
monitor_model = step.as_flow(_monitor, name=MONITORING, run_name="{name}: monitoring")
