"""``servable rollback``: end a canary, or make the previous version stable again."""

from typing import Annotated

import typer

from flows.commands.options import ModelArgument, WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace, model_name


def rollback(
    name: ModelArgument,
    reason: Annotated[str, typer.Option(help="Reason, kept in the history.")] = "",
    workspace: WorkspaceOption = None,
) -> None:
    """End the canary, or go back to the version before.

    Without a canary, the version that was stable before is stable again.
    """
    from flows.promotion import moves
    from flows.runs import releases

    place, model = Workspace.existing(workspace), model_name(name)
    releases.require(place, model)
    version = moves.rollback(place, model, reason or "rolled back by hand")
    terminal.note(f"{name}: version {version} is stable")
