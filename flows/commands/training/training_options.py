"""The options of a training, shared by the commands that start or schedule one."""

import json
from pathlib import Path
from typing import Annotated

import typer

from features.storage.objects import is_url
from flows.commands.groups import grouped
from flows.commands.options import WorkspaceOption
from flows.orchestration.task_runners import THREADS
from flows.runs.plans.request import Request
from flows.workspace import Workspace, model_name

NoHeaderOption = Annotated[
    bool, typer.Option("--no-header", help="The table has no header row; name columns column_1, column_2 ...")
]
InputSuffixOption = Annotated[
    str | None,
    typer.Option("--input-suffix", help="Extension to add to file names in a table.", metavar=".jpg"),
]
InputFolderOption = Annotated[
    str | None,
    typer.Option(
        "--input-folder", help="Folder of the files in a table, relative to the table.", metavar="FOLDER"
    ),
]


def requested(
    task: Annotated[str, typer.Argument(help="Task, such as image-classification.")],
    data: Annotated[
        str,
        typer.Option(
            help="Folder, table or archive of examples, on disk or at s3:// or gs://.", metavar="PATH"
        ),
    ],
    name: Annotated[str, typer.Option(help="Name of the model.", metavar="NAME")],
    recipe: Annotated[
        str | None, typer.Option(help="Name of a recipe, or path of a YAML file.", metavar="RECIPE")
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Override a setting of the recipe.", metavar="KEY=VALUE")
    ] = None,
    input_column: Annotated[
        str | None,
        typer.Option(
            help="Table column with the inputs; comma-separated for tabular tasks.", metavar="COLUMN"
        ),
    ] = None,
    target_column: Annotated[
        list[str] | None,
        typer.Option(
            help="Column with the label or number; repeat it for several numbers.", metavar="COLUMN"
        ),
    ] = None,
    split_column: Annotated[
        str | None, typer.Option(help="Column with train, validation or test.", metavar="COLUMN")
    ] = None,
    fold_column: Annotated[
        str | None, typer.Option(help="Column with the fold: cross-validate.", metavar="COLUMN")
    ] = None,
    no_header: NoHeaderOption = False,
    input_suffix: InputSuffixOption = None,
    input_folder: InputFolderOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    accept_worse: Annotated[
        bool, typer.Option("--accept-worse", help="Publish even if worse than the version in service.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Train again instead of resuming, or reusing, an earlier run.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Publish even if the version in service has equal weights.")
    ] = False,
    workspace: WorkspaceOption = None,
    runner: Annotated[
        str,
        typer.Option(
            envvar="SERVABLE_RUNNER",
            help="Where data are read and featurized: threads, dask, or the address of a Dask scheduler.",
            metavar="NAME",
        ),
    ] = THREADS,
) -> Request:
    """Turn the options into a request.

    Raises:
        UsageError: the name is not a valid model name.
    """
    targets = target_column[0] if target_column and len(target_column) == 1 else target_column
    columns = {"input": input_column, "target": targets, "split": split_column, "fold": fold_column}
    return Request(
        task=task,
        data=data if is_url(data) else str(Path(data)),
        name=model_name(name),
        recipe=recipe,
        overrides=(*(override or ()), *_table_settings(no_header, input_suffix, input_folder)),
        columns={role: column for role, column in columns.items() if column},
        seed=seed,
        accept_worse=accept_worse,
        restart=restart,
        force=force,
        workspace=str(Workspace.at(workspace).root),
        runner=runner,
    )


def _table_settings(no_header: bool, input_suffix: str | None, input_folder: str | None) -> tuple[str, ...]:
    """Express the options on the format of a table as overrides, so that the recipe records them."""
    options = {"input_suffix": input_suffix, "input_folder": input_folder}
    named = tuple(f"data.{key}={json.dumps(value)}" for key, value in options.items() if value is not None)
    return (*named, *(("data.header=false",) if no_header else ()))


takes_a_request = grouped("request", requested)
