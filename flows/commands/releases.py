"""``servable models``, ``promote`` and ``rollback``."""

import json
from typing import Annotated

import typer

from flows.commands.options import JsonOption, WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace, model_name


def models(workspace: WorkspaceOption = None, json_output: JsonOption = False) -> None:
    """List what is published, which version is stable and its test metric."""
    from flows.runs import releases

    rows = releases.published(Workspace.open(workspace))
    if json_output:
        for row in rows:
            print(json.dumps(row))
        return
    if not rows:
        terminal.note("nothing is published yet: servable train image-classification --data DIR --name NAME")
        return
    columns = ("model", "version", "stable", "task", "metric", "value", "published")
    terminal.table("", columns, [[row[c] if row[c] is not None else "-" for c in columns] for row in rows])


def promote(
    name: str,
    version: int,
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "",
    workspace: WorkspaceOption = None,
) -> None:
    """Make a published version the stable one, in the repository and in MLflow."""
    from flows.runs import releases

    releases.promote(Workspace.open(workspace), model_name(name), version, reason or "promoted by hand")
    terminal.note(f"{name}: version {version} is stable")


def rollback(
    name: str,
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "",
    workspace: WorkspaceOption = None,
) -> None:
    """Make the previously stable version stable again."""
    from flows.runs import releases

    version = releases.rollback(Workspace.open(workspace), model_name(name), reason or "rolled back by hand")
    terminal.note(f"{name}: version {version} is stable again")
