"""``servable runs``: the trainings of a workspace."""

import json
from typing import Annotated

import typer

from flows.commands.options import JsonOption, WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace


def runs(
    name: Annotated[str | None, typer.Argument(help="Show only the runs of this model.")] = None,
    workspace: WorkspaceOption = None,
    json_output: JsonOption = False,
) -> None:
    """List the trainings, finished or not.

    The newest of each model comes first.
    """
    from flows.runs import listing

    rows = listing.described(Workspace.existing(workspace), name)
    if json_output:
        for row in rows:
            print(json.dumps(row))
        return
    if not rows:
        terminal.note("no runs yet: servable train image-classification --data DIR --name NAME")
        return
    columns = ("model", "run", "state", "recipe", "version", "metric", "value", "changed")
    terminal.table("", columns, [[row[c] if row[c] is not None else "-" for c in columns] for row in rows])
