"""``servable worker``: run scheduled trainings."""

from typing import Annotated

import typer

from flows.commands.options import WorkspaceOption
from flows.workspace import Workspace


def worker(
    workspace: WorkspaceOption = None,
    once: Annotated[
        bool, typer.Option("--once", help="Run what is due, then end with the worst exit code of it.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Trainings at a time.")] = 1,
) -> None:
    """Run the process worker that executes scheduled trainings."""
    from flows.scheduling import worker as workers

    raise typer.Exit(workers.work(Workspace.open(workspace), once=once, limit=limit))
