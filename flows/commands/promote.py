"""``servable promote``: make a published version the stable one."""

from typing import Annotated

import typer

from flows.commands.options import WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace, model_name


def promote(
    name: str,
    version: int,
    reason: Annotated[str, typer.Option(help="Reason, kept in the history.")] = "",
    workspace: WorkspaceOption = None,
) -> None:
    """Make a published version the stable one."""
    from flows.runs import releases

    releases.promote(Workspace.existing(workspace), model_name(name), version, reason or "promoted by hand")
    terminal.note(f"{name}: version {version} is stable")
