"""The Prefect flow object that prefect.yaml and scheduled deployments name as their entry point."""

import os
from typing import Any

from flows.console import quiet
from flows.orchestration import outcome, step
from flows.runs.form import ModelName, Override, RecipeName, Seed, TableColumns, TaskName
from serving.engine import allocator

allocator.keep_memory()
with quiet.native_stderr():
    from flows import pipeline


if outcome.scheduled():
    # Ctrl-C ends the worker, which then asks each training once: a second signal would end it at once.
    os.setpgid(0, 0)


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

    Returns:
        The summary that ``servable train --json`` prints.
    """
    try:
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
        )
    except BaseException as error:
        outcome.write_error(error)
        raise
    outcome.write(0, "done")
    return summary


train_model = step.as_flow(_train, name="servable-train", run_name="{name} {task}: scheduled training")
