"""``servable models``: the published models."""

import json

from flows.commands.options import JsonOption, WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace


def models(workspace: WorkspaceOption = None, json_output: JsonOption = False) -> None:
    """List the published models with their test metrics."""
    from flows.runs import releases

    rows = releases.published(Workspace.existing(workspace))
    if json_output:
        for row in rows:
            print(json.dumps(row))
        return
    if not rows:
        terminal.note(
            "no models are published yet: servable train image-classification --data DIR --name NAME"
        )
        return
    columns = ("model", "version", "stable", "task", "metric", "value", "published")
    terminal.table("", columns, [[row[c] if row[c] is not None else "-" for c in columns] for row in rows])
