"""``servable sync``: send the tracking events that are waiting."""

import contextlib
from typing import Annotated

import typer

from features.errors import UnavailableError
from flows.commands.options import WorkspaceOption
from flows.console import terminal
from flows.workspace import Workspace


def sync(
    workspace: WorkspaceOption = None,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Also resend events that MLflow rejected.")
    ] = False,
) -> None:
    """Send waiting events to MLflow; bring its aliases in step."""
    from flows.promotion import agreement
    from flows.tracking import tracking
    from flows.tracking.registry import Registry
    from flows.tracking.spool import rejects
    from serving.repository.repository import Repository

    place = Workspace.existing(workspace)
    terminal.note(tracking.replay(place, rejected=rejected))
    with contextlib.suppress(UnavailableError):  # said already
        agreement.settle(Repository(place.repository), Registry(place), notify=terminal.note)
    if left := rejects.describe(place.spool):
        terminal.note(left)
