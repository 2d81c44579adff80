"""``servable doctor``, ``sync`` and ``verify``: what is wrong, and what to do."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import JsonOption, WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace


def doctor(workspace: WorkspaceOption = None, json_output: JsonOption = False) -> None:
    """Check installation, versions, ports, hub cache and disk, and say what to do."""
    from flows import doctor as check_up

    findings = check_up.examine(Workspace.open(workspace))
    if json_output:
        print(json.dumps([finding._asdict() for finding in findings]))
    else:
        terminal.table("", ("", "part", "finding"), [(f.mark, f.part, f.text) for f in findings])
    raise typer.Exit(78 if any(not finding.ok for finding in findings) else 0)


def sync(
    workspace: WorkspaceOption = None,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Offer the events again that MLflow has rejected.")
    ] = False,
) -> None:
    """Send tracking events that MLflow has not confirmed yet."""
    from flows.tracking import rejects, tracking

    place = Workspace.open(workspace)
    terminal.note(tracking.replay(place, rejected=rejected))
    if left := rejects.describe(place.spool):
        terminal.note(left)


def verify(
    dataset: Annotated[Path, typer.Argument(help="A dataset folder, as the card names it.")],
    json_output: JsonOption = False,
) -> None:
    """Compare every file of a dataset with the hash taken at ingest."""
    from features.datasets import dataset as datasets

    changed = datasets.load(dataset).verify()
    for record in changed:
        print(
            json.dumps(record) if json_output else f"{record['reason']}: {terminal.printable(record['path'])}"
        )
    if not changed and not json_output:
        terminal.note("every file is as it was")
    raise typer.Exit(65 if changed else 0)
