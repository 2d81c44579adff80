"""``servable history``: every move of a model's labels."""

import json
from typing import Any

from flows.commands.options import JsonOption, ModelArgument, WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace, model_name


def history(name: ModelArgument, workspace: WorkspaceOption = None, json_output: JsonOption = False) -> None:
    """List when, by whom and why a model's versions were moved."""
    from flows.runs import releases

    place = Workspace.existing(workspace)
    rows = releases.history(place, model_name(name))
    if not rows:
        releases.require(place, name)
    if json_output:
        for row in rows:
            print(json.dumps(row))
        return
    columns = ("when", "who", "event", "from", "to", "metric", "why")
    terminal.table("", columns, [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> list[object]:
    share = f" ({row['share']:g} %)" if row["share"] is not None else ""
    event = f"{row['event']} {row['label']}{share}" if row["label"] else row["event"]
    metric = "-" if row["value"] is None else f"{row['metric']} {row['value']:.4f}"
    versions = ["-" if row[side] is None else row[side] for side in ("from", "to")]
    return [row["when"][:19].replace("T", " "), row["who"], event, *versions, metric, row["why"]]
