"""``servable rollback``: make the previous version stable again."""

from typing import Annotated

import typer

from flows.commands.options import WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace, model_name


def rollback(
    name: str,
    reason: Annotated[str, typer.Option(help="Reason, kept in the history.")] = "",
    workspace: WorkspaceOption = None,
) -> None:
    """Make the previously stable version stable again."""
    from flows.runs import releases

    place = Workspace.existing(workspace)
    version = releases.rollback(place, model_name(name), reason or "rolled back by hand")
    terminal.note(f"{name}: version {version} is stable again")
