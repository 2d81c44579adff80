"""``servable prune``: delete old versions, runs, datasets and caches."""

import json
from typing import Annotated

import typer

from flows.commands.options import JsonOption, WorkspaceOption, YesOption, confirmed
from flows.console import terminal
from flows.workspace import Workspace


def prune(
    name: Annotated[str | None, typer.Argument(help="Prune only this model.")] = None,
    keep: Annotated[int, typer.Option(help="How many versions of each model stay.")] = 3,
    caches: Annotated[bool, typer.Option("--caches", help="Delete cached features, too.")] = False,
    yes: YesOption = False,
    workspace: WorkspaceOption = None,
    json_output: JsonOption = False,
) -> None:
    """Delete old versions, runs, datasets and caches.

    Never what serves, nor what a kept version needs; what would be freed is shown first.
    """
    from flows.runs import releases, removal

    place = Workspace.existing(workspace)
    if name is not None:
        releases.require(place, name)
    removable = removal.prunable(place, keep, name, caches=caches)
    if json_output:
        for each in removable:
            print(
                json.dumps({"kind": each.kind, "name": each.name, "bytes": each.size, "path": str(each.path)})
            )
    elif removable:
        terminal.table(
            "", ("kind", "name", "size"), [(e.kind, e.name, _megabytes(e.size)) for e in removable]
        )
    total = _megabytes(sum(each.size for each in removable))
    if not removable:
        terminal.note("nothing to delete")
    elif confirmed(f"delete {len(removable)} items and free {total}?", yes):
        removal.prune(place, removable)
        terminal.note(f"freed {total}")
    else:
        terminal.note(f"nothing was deleted; --yes deletes {len(removable)} items and frees {total}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
