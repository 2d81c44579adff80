"""``servable models``: the published models."""

import json
from typing import Any

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
    for row in rows:
        row["label"] = _label(row)
    columns = ("model", "version", "label", "task", "metric", "value", "published")
    terminal.table("", columns, [[row[c] if row[c] is not None else "-" for c in columns] for row in rows])


def _label(row: dict[str, Any]) -> str | None:
    if row["canary"] is not None:
        return f"canary ({row['canary']:g} %)"
    return row["stable"] and "stable"
