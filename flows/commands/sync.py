"""``servable sync``: send the tracking events that are waiting."""

from typing import Annotated

import typer

from flows.commands.options import WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace


def sync(
    workspace: WorkspaceOption = None,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Also resend events that MLflow rejected.")
    ] = False,
) -> None:
    """Send waiting tracking events to MLflow."""
    from flows.tracking import rejects, tracking

    place = Workspace.existing(workspace)
    terminal.note(tracking.replay(place, rejected=rejected))
    if left := rejects.describe(place.spool):
        terminal.note(left)
