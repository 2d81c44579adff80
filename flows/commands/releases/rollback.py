"""``servable rollback``: end a canary, or make the previous version stable again."""

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
    """End the canary of a model, or without one make the previously stable version stable again."""
    from flows.promotion import moves

    version = moves.rollback(Workspace.existing(workspace), model_name(name), reason or "rolled back by hand")
    terminal.note(f"{name}: version {version} is stable")
