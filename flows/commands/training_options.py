"""The options that say what to train: defined once, for every command that trains now or later."""

import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.options import WorkspaceOption
from flows.runs.request import Request
from flows.workspace import Workspace, model_name

NoHeaderOption = Annotated[
    bool, typer.Option("--no-header", help="The table's first row is one of data: columns are column_1 ...")
]
InputSuffixOption = Annotated[
    str | None,
    typer.Option(
        "--input-suffix", help="Ending of the files that a table names without one.", metavar=".jpg"
    ),
]
InputFolderOption = Annotated[
    str | None,
    typer.Option("--input-folder", help="Folder of a table's files, below its own.", metavar="FOLDER"),
]


def requested(
    task: Annotated[str, typer.Argument(help="What kind of model, e.g. image-classification.")],
    data: Annotated[Path, typer.Option(help="Folder, archive or table of examples.")],
    name: Annotated[str, typer.Option(help="The model's name, where it is tracked and served.")],
    recipe: Annotated[str | None, typer.Option(help="Recipe by name or path of a YAML file.")] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Override a recipe setting.", metavar="KEY=VALUE")
    ] = None,
    input_column: Annotated[
        str | None, typer.Option(help="Column of a table with the file paths, texts or rows.")
    ] = None,
    target_column: Annotated[
        list[str] | None,
        typer.Option(help="Column with the label or number; repeat it for several numbers.", metavar="TEXT"),
    ] = None,
    split_column: Annotated[str | None, typer.Option(help="Column with train, validation or test.")] = None,
    fold_column: Annotated[str | None, typer.Option(help="Column with the fold: cross-validate.")] = None,
    no_header: NoHeaderOption = False,
    input_suffix: InputSuffixOption = None,
    input_folder: InputFolderOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of splits, weights, order and augmentation.")] = 0,
    accept_worse: Annotated[
        bool, typer.Option("--accept-worse", help="Publish even if worse than the serving version.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Do not resume an unfinished run.")] = False,
    workspace: WorkspaceOption = None,
) -> Request:
    """Turn the options into what they ask for.

    Raises:
        UsageError: the name cannot name a model.
    """
    targets = target_column[0] if target_column and len(target_column) == 1 else target_column
    columns = {"input": input_column, "target": targets, "split": split_column, "fold": fold_column}
    return Request(
        task=task,
        data=str(data),
        name=model_name(name),
        recipe=recipe,
        overrides=(*(override or ()), *_table_settings(no_header, input_suffix, input_folder)),
        columns={role: column for role, column in columns.items() if column},
        seed=seed,
        accept_worse=accept_worse,
        restart=restart,
        workspace=str(Workspace.open(workspace).root),
    )


def _table_settings(no_header: bool, input_suffix: str | None, input_folder: str | None) -> tuple[str, ...]:
    """Write the options on a table's form as overrides of a recipe, which keeps them."""
    given = {"input_suffix": input_suffix, "input_folder": input_folder}
    named = tuple(f"data.{key}={json.dumps(value)}" for key, value in given.items() if value is not None)
    return (*named, *(("data.header=false",) if no_header else ()))


def takes_a_request(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a training before its own; it receives the request they make."""
    shared = inspect.signature(requested).parameters
    own = list(inspect.signature(command).parameters.values())[1:]

    @functools.wraps(command)
    def run(**given: Any) -> Any:
        request = requested(**{option: given.pop(option) for option in shared})
        return command(request, **given)

    options = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*shared.values(), *own)
    ]
    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in options}
    return run
