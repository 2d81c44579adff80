"""``servable models``: what is published."""

import json

from flows.commands.options import JsonOption, WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace


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
