"""``servable doctor``: check the installation."""

import json

import typer

from flows.commands.options import JsonOption, WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace


def doctor(workspace: WorkspaceOption = None, json_output: JsonOption = False) -> None:
    """Check installation, ports, caches and disk."""
    from flows import doctor as check_up

    with terminal.working("check"):
        findings = check_up.examine(Workspace.at(workspace))
    if json_output:
        print(json.dumps([finding._asdict() for finding in findings]))
    else:
        terminal.table("", ("", "part", "finding"), [(f.mark, f.part, f.text) for f in findings])
    raise typer.Exit(78 if any(not finding.ok for finding in findings) else 0)
